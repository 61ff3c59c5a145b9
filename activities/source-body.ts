import { Readable } from 'node:stream';

import type { Body, Destination } from '../destinations/destination.ts';
import { messageOf } from '../errors/error.ts';

/** What reading a copy failed with, so that it is not taken for the failure of the place that it is written to. */
export class SourceFailure extends Error {}

export async function reading<T>(signal: AbortSignal, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    signal.throwIfAborted();
    throw new SourceFailure(messageOf(cause), { cause });
  }
}

/** An object of one destination as what a put stores in another. */
export function bodyOf(
  source: Destination,
  { key, sizeBytes, sha256 }: { key: string; sizeBytes: number; sha256: string },
  signal: AbortSignal,
): Body {
  async function* read(offset: number): AsyncIterable<Buffer> {
    if (offset >= sizeBytes) return;
    const range = offset === 0 ? {} : { range: { start: offset, length: sizeBytes - offset } };
    const stream = await reading(signal, () => source.get(key, { signal, ...range }));
    const chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    try {
      for (;;) {
        const next = await reading(signal, () => chunks.next());
        if (next.done === true) return;
        yield next.value;
      }
    } finally {
      stream.destroy();
    }
  }
  return { sizeBytes, sha256, open: (offset = 0) => Readable.from(read(offset), { objectMode: false }) };
}
