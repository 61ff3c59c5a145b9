import type { DumpContent } from '../../catalog/manifest.ts';
import { CofreError, messageOf } from '../../errors/error.ts';
import type { ToolContext } from '../../processes/tool.ts';
import type { Wrapping } from './archive-files.ts';
import type { Clients } from './clients.ts';
import { tableOf } from './copy-name.ts';
import { largeObjectContent, type ScriptContent } from './data-script.ts';
import { decodeStreamed } from './decode-streamed.ts';
import { toContentError } from './decompression.ts';
import { readOnce, type ReadOnce } from './read-once.ts';

export interface ForeignRequest extends ToolContext, ReadOnce {
  readonly wrapping: Wrapping;
  readonly clients: Clients;
}

export interface ForeignDump {
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly content: DumpContent;
}

/**
 * Reads a custom-format dump that another job made, once and to its end, and writes down what it holds, as is done for a
 * dump of Cofre's own: so that each later reading can be compared with this one. Nothing is written to disk; memory stays flat.
 * @throws CofreError `bad-content` for one that is cut off, damaged, or made with --inserts; the stream's own failures; `signal.reason`.
 */
export async function readForeignDump(request: ForeignRequest): Promise<ForeignDump> {
  const { clients, records, wrapping } = request;
  try {
    const { result, ...object } = await readOnce(request, (reader, ending) =>
      decodeStreamed({ clients, records, wrapping, ...ending }, (write) => reader.drain(write)),
    );
    return { ...object, content: toContent(result) };
  } catch (error) {
    if (error instanceof NotTaken) throw error;
    const known = toContentError(error, 'the dump');
    if (!(known instanceof CofreError) || known.code !== 'bad-content') throw known;
    throw new CofreError('bad-content', `it is not a whole dump: ${messageOf(known)}`, {
      cause: known,
      hint: 'if its job was still writing it, the next run takes it; else look at the job that makes it',
    });
  }
}

/** A whole dump, of which Cofre can make no backup. */
class NotTaken extends CofreError {}

function toContent({ tables, largeObjects, encoding, hasInserts }: ScriptContent): DumpContent {
  if (hasInserts) {
    throw new NotTaken('bad-content', 'it was made with --inserts: its rows can neither be counted nor be compared', {
      hint: 'let its job dump without --inserts; this one: cofre restore --file PATH --to ENVIRONMENT',
    });
  }
  const objects = largeObjectContent(largeObjects);
  return {
    tables: tables.map(({ name, rows, rawBytes, sha256 }) => ({
      ...tableOf(name, encoding),
      rows,
      rawBytes,
      rawSha256: sha256,
      file: null,
    })),
    largeObjects: objects,
    rows: tables.reduce((sum, { rows }) => sum + rows, 0),
    rawBytes: tables.reduce((sum, { rawBytes }) => sum + rawBytes, objects.rawBytes),
    inventory: null,
  };
}
