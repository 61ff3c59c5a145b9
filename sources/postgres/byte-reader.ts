import type { Readable } from 'node:stream';

import { CofreError } from '../../errors/error.ts';

/** Reads a stream by counts of bytes. What it gives out may be a view: use it before the next call. */
export class ByteReader {
  readonly #chunks: AsyncIterator<Buffer>;
  readonly #onChunk: (chunk: Buffer) => void;
  #rest: Buffer = Buffer.alloc(0);

  /** `onChunk` sees all bytes, once, as they come. */
  constructor(stream: Readable, onChunk: (chunk: Buffer) => void) {
    this.#chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    this.#onChunk = onChunk;
  }

  /** The next `size` bytes, in memory; fewer only where the stream ends. */
  async take(size: number): Promise<Buffer> {
    while (this.#rest.length < size && (await this.#more()));
    return this.#cut(size);
  }

  /** Passes on the next `size` bytes in pieces. @throws CofreError `bad-content` where the stream ends before. */
  async forward(size: number, sink: (piece: Buffer) => Promise<void> | void): Promise<void> {
    for (let left = size; left > 0;) {
      if (this.#rest.length === 0 && !(await this.#more())) throw new CofreError('bad-content', 'it ends early');
      const piece = this.#cut(left);
      left -= piece.length;
      await sink(piece);
    }
  }

  /** Everything up to the end. */
  async drain(sink: (piece: Buffer) => Promise<void> | void): Promise<void> {
    do if (this.#rest.length > 0) await sink(this.#cut(this.#rest.length));
    while (await this.#more());
  }

  #cut(size: number): Buffer {
    const piece = this.#rest.subarray(0, size);
    this.#rest = this.#rest.subarray(piece.length);
    return piece;
  }

  async #more(): Promise<boolean> {
    const next = await this.#chunks.next();
    if (next.done === true) return false;
    this.#onChunk(next.value);
    this.#rest = this.#rest.length === 0 ? next.value : Buffer.concat([this.#rest, next.value]);
    return true;
  }
}
