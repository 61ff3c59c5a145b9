import { createHash } from 'node:crypto';
import { addAbortSignal, type Readable } from 'node:stream';

import type { DumpContent } from '../../catalog/manifest.ts';
import { CofreError, messageOf } from '../../errors/error.ts';
import type { ToolContext } from '../../processes/tool.ts';
import type { Wrapping } from './archive-files.ts';
import { ByteReader } from './byte-reader.ts';
import type { Clients } from './clients.ts';
import { tableOf } from './copy-name.ts';
import type { ScriptContent } from './data-script.ts';
import { decodeStreamed } from './decode-streamed.ts';
import { toContentError } from './decompression.ts';
import { digestOfList } from './raw-digest.ts';

export interface ForeignRequest extends ToolContext {
  /** The whole dump, as it comes from where it lies. It is read to its end or destroyed. */
  readonly stream: Readable;
  readonly wrapping: Wrapping;
  readonly clients: Clients;
  readonly onProgress?: ((bytes: number) => void) | undefined;
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
  const hash = createHash('sha256');
  let sizeBytes = 0;
  const stop = new AbortController();
  const signal = request.signal === undefined ? stop.signal : AbortSignal.any([request.signal, stop.signal]);
  // Whoever reads it is told; a failure that comes before the first read would end the process.
  request.stream.on('error', () => undefined);
  addAbortSignal(signal, request.stream);
  const reader = new ByteReader(request.stream, (chunk) => {
    hash.update(chunk);
    sizeBytes += chunk.length;
    request.onProgress?.(sizeBytes);
  });
  try {
    const context = { clients, records, signal, stop: () => stop.abort(), wrapping };
    const script = await decodeStreamed(context, (write) => reader.drain(write));
    return { sizeBytes, sha256: hash.digest('hex'), content: toContent(script) };
  } catch (error) {
    request.signal?.throwIfAborted();
    const known = toContentError(error, 'the dump');
    if (!(known instanceof CofreError) || known.code !== 'bad-content') throw known;
    throw new CofreError('bad-content', `it is not a whole dump: ${messageOf(known)}`, {
      cause: known,
      hint: 'if its job was still writing it, the next run takes it; else look at the job that makes it',
    });
  } finally {
    stop.abort();
    request.stream.destroy();
  }
}

function toContent({ tables, largeObjects, encoding, hasInserts }: ScriptContent): DumpContent {
  if (hasInserts) {
    throw new CofreError('bad-content', 'it was made with --inserts: its rows can neither be counted nor be compared', {
      hint: 'let its job dump without --inserts; this one: cofre restore --file PATH --to ENVIRONMENT',
    });
  }
  const largeBytes = largeObjects.reduce((sum, { rawBytes }) => sum + rawBytes, 0);
  return {
    tables: tables.map(({ name, rows, rawBytes, sha256 }) => ({
      ...tableOf(name, encoding),
      rows,
      rawBytes,
      rawSha256: sha256,
      file: null,
    })),
    largeObjects: {
      count: largeObjects.length,
      rawBytes: largeBytes,
      sha256: largeObjects.length === 0 ? null : digestOfList(largeObjects),
    },
    rows: tables.reduce((sum, { rows }) => sum + rows, 0),
    rawBytes: tables.reduce((sum, { rawBytes }) => sum + rawBytes, largeBytes),
    inventory: null,
  };
}
