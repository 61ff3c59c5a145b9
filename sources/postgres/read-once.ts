import { createHash } from 'node:crypto';
import { addAbortSignal, type Readable } from 'node:stream';

import { ByteReader } from './byte-reader.ts';

export interface ReadOnce {
  /** A whole object, as it comes from a destination. It is read to its end or destroyed. */
  readonly stream: Readable;
  readonly signal?: AbortSignal | undefined;
  /** Bytes of the object read so far. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
}

/** What ends the reading of an object, and every tool that takes part in it. */
export interface Ending {
  readonly signal: AbortSignal;
  readonly stop: () => void;
}

/** Lets `use` read a whole object, and gives its size and hash beside what `use` gives. @throws what `use` throws; `signal.reason`. */
export async function readOnce<T>(
  { stream, signal, onProgress }: ReadOnce,
  use: (reader: ByteReader, ending: Ending) => Promise<T>,
): Promise<{ sizeBytes: number; sha256: string; result: T }> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  const stop = new AbortController();
  const either = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  // Whoever reads it is told; a failure that comes before the first read would end the process.
  stream.on('error', () => undefined);
  addAbortSignal(either, stream);
  const reader = new ByteReader(stream, (chunk) => {
    hash.update(chunk);
    sizeBytes += chunk.length;
    onProgress?.(sizeBytes);
  });
  try {
    const result = await use(reader, { signal: either, stop: () => stop.abort() });
    return { sizeBytes, sha256: hash.digest('hex'), result };
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    stop.abort();
    stream.destroy();
  }
}
