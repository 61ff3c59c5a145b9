import { CofreError } from '../../errors/error.ts';
import { finishAll, startTool } from '../../processes/tool.ts';
import type { ByteReader } from './byte-reader.ts';
import type { CheckContext } from './check-archive.ts';
import { checkLargeObjects, checkTable } from './content-check.ts';
import { DataScript } from './data-script.ts';
import { Decompression, toContentError } from './decompression.ts';
import { runTogether } from './run-together.ts';

/** Checks `database.dump.zst`: pg_restore reads all of it and writes out its data, which are compared in the archive's order. */
export async function checkStreamed(reader: ByteReader, context: CheckContext): Promise<void> {
  const decompression = new Decompression(context);
  const { zstd } = decompression;
  const args = ['--section=data', '--file=-'];
  const pgRestore = startTool(
    { name: 'pg_restore', path: context.clients.pgRestore, args },
    { stdin: zstd, stdout: 'pipe' },
    context,
  );
  const script = new DataScript();
  const feeding = async (): Promise<void> => {
    await reader.drain((piece) => decompression.write(piece));
    decompression.end();
  };
  const reading = async (): Promise<void> => {
    for await (const chunk of pgRestore.stdout) script.update(chunk as Buffer);
    await finishAll([zstd, pgRestore]).catch((error: unknown) => {
      throw toContentError(error, 'the dump');
    });
  };
  await runTogether([feeding(), reading()], context.stop);

  const { tables, largeObjects } = script.finish();
  for (const [index, expected] of context.content.tables.entries()) {
    const found = tables[index];
    if (found === undefined)
      throw new CofreError('bad-content', `it ends after ${index} of ${context.content.tables.length} tables`);
    checkTable(expected, found);
  }
  if (tables.length > context.content.tables.length)
    throw new CofreError('bad-content', 'it has data of tables that were not dumped');
  checkLargeObjects(
    context.content,
    largeObjects,
    largeObjects.reduce((sum, { rawBytes }) => sum + rawBytes, 0),
  );
}
