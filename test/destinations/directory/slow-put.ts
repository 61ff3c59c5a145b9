import { once } from 'node:events';
import { Readable } from 'node:stream';
import { readFile } from 'node:fs/promises';

import { DirectoryDestination } from '../../../destinations/directory/directory.ts';
import { bytesBody } from '../../../destinations/local-file.ts';

/** A process that puts a file, says when it is half way, and goes on with a line on stdin: to be killed in between. */
const [root = '', source = '', key = ''] = process.argv.slice(2);
const bytes = await readFile(source);
const middle = Math.floor(bytes.length / 2);
let told = false;

async function* halves(): AsyncGenerator<Buffer> {
  yield bytes.subarray(0, middle);
  if (!told) {
    told = true; // A put may open its body again.
    process.stdout.write('half way\n');
    await once(process.stdin, 'data');
  }
  yield bytes.subarray(middle);
}

await new DirectoryDestination('volume', root).put(key, {
  ...bytesBody(bytes),
  open: () => Readable.from(halves(), { objectMode: false }),
});
process.stdin.destroy();
