import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { Readable } from 'node:stream';

import type { DestinationConfig } from '../../config/destination-schema.ts';
import { bytesBody } from '../../destinations/local-file.ts';
import { openDestination } from '../../destinations/open.ts';

/** A process that replaces an alias, says when half of it was read, and then waits to be killed. */
const [config = '', source = '', key = ''] = process.argv.slice(2);
const bytes = await readFile(source);

async function* half(): AsyncGenerator<Buffer> {
  yield bytes.subarray(0, bytes.length / 2);
  process.stdout.write('half way\n');
  await once(process.stdin, 'end');
}

await openDestination('place', JSON.parse(config) as DestinationConfig).replace(key, {
  ...bytesBody(bytes),
  open: () => Readable.from(half(), { objectMode: false }),
});
