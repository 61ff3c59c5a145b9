import { CofreError } from '../../errors/error.ts';
import type { Wrapping } from './archive-files.ts';
import type { ByteReader } from './byte-reader.ts';
import type { CheckContext } from './check-archive.ts';
import { checkLargeObjects, checkTable } from './content-check.ts';
import { decodeStreamed } from './decode-streamed.ts';
import { toContentError } from './decompression.ts';

/** Checks a dump in one file: pg_restore reads all of it and writes out its data, which are compared in the archive's order. */
export async function checkStreamed(reader: ByteReader, context: CheckContext, wrapping: Wrapping): Promise<void> {
  const { tables, largeObjects } = await decodeStreamed({ ...context, wrapping }, (write) => reader.drain(write)).catch(
    (error: unknown) => {
      throw toContentError(error, 'the dump');
    },
  );
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
