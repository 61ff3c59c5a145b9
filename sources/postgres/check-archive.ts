import { createHash } from 'node:crypto';
import { addAbortSignal, type Readable } from 'node:stream';

import type { DumpContent } from '../../catalog/manifest.ts';
import { CofreError, messageOf } from '../../errors/error.ts';
import type { ToolContext } from '../../processes/tool.ts';
import { STAGED_FILE, wrappingOf } from './archive-files.ts';
import { ByteReader } from './byte-reader.ts';
import { checkStaged } from './check-staged.ts';
import { checkStreamed } from './check-streamed.ts';
import type { Clients } from './clients.ts';

export interface CheckRequest extends ToolContext {
  /** The whole object, as it comes from a destination. It is read to its end or destroyed. */
  readonly stream: Readable;
  /** What the manifest says was dumped. */
  readonly content: DumpContent;
  /** The object's name without its folder, which tells what it is. */
  readonly file: string;
  readonly clients: Clients;
  /** Bytes of the object read so far. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
}

/** What a check of one pipeline's object is given; it reads all of `reader`. */
export interface CheckContext extends ToolContext {
  readonly signal: AbortSignal;
  /** Aborts `signal`, which ends the stream and every tool of the check. */
  readonly stop: () => void;
  readonly content: DumpContent;
  readonly clients: Clients;
}

/**
 * Reads a whole object once and proves that it decodes to what was dumped: every table of the manifest exactly once
 * with its hash and rows, every large object, and nothing else. Nothing is written to disk; memory stays flat.
 * The caller compares size and hash with what was sent.
 * @throws CofreError `bad-content` naming object and table; the stream's own failures; `signal.reason`.
 */
export async function checkArchive(request: CheckRequest): Promise<{ sizeBytes: number; sha256: string }> {
  const { file } = request;
  const wrapping = wrappingOf(file);
  if (wrapping === undefined && file !== STAGED_FILE)
    throw new CofreError('bad-content', `no backup has an object ${file}`);
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
    const { content, clients, records } = request;
    const context = { content, clients, records, signal, stop: () => stop.abort() };
    await (wrapping === undefined ? checkStaged(reader, context) : checkStreamed(reader, context, wrapping));
    return { sizeBytes, sha256: hash.digest('hex') };
  } catch (error) {
    request.signal?.throwIfAborted();
    if (!(error instanceof CofreError) || error.code !== 'bad-content') throw error;
    throw new CofreError('bad-content', `${file} is damaged: ${messageOf(error)}`, {
      cause: error,
      hint: 'this copy cannot be relied on; check the medium, and restore from another copy',
    });
  } finally {
    stop.abort();
    request.stream.destroy();
  }
}
