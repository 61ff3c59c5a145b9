/**
 * The bytes that an interrupted put has left, compared with those it was to write. What comes after the first difference
 * counts for nothing: blocks are written in no order, so there may be a gap.
 */
export class StoredPrefix {
  readonly #blocks: AsyncGenerator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);
  #ended = false;

  constructor(blocks: AsyncGenerator<Buffer>) {
    this.#blocks = blocks;
  }

  /** How many of the first bytes of the next `chunk` stand there. Fewer than all of them, and none of a later one does. */
  async leadingBytesOf(chunk: Buffer): Promise<number> {
    let same = 0;
    while (!this.#ended && same < chunk.length) {
      if (this.#rest.length === 0) {
        const next = await this.#blocks.next();
        if (next.done === true) break;
        this.#rest = next.value;
      }
      const length = Math.min(this.#rest.length, chunk.length - same);
      if (this.#rest.compare(chunk, same, same + length, 0, length) !== 0) break;
      this.#rest = this.#rest.subarray(length);
      same += length;
    }
    if (same < chunk.length) await this.end();
    return same;
  }

  /** Reads no more. */
  async end(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    await this.#blocks.return(undefined);
  }
}
