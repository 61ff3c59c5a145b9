import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';

/** What is known of one raw data file. */
export interface RawContent {
  readonly rawBytes: number;
  readonly sha256: string;
  /** null: it does not end as a table's data do. */
  readonly rows: number | null;
}

/** Stays in the processor between being read and being hashed. */
const READ_BYTES = 256 * 1024;
const NEWLINE = 10;
/** How pg_dump ends the data of each table. Its three lines are the ones that are no rows. */
const TABLE_END = '\\.\n\n\n';

/** Takes a table's or a large object's raw data piece by piece: counts, and hashes. */
export class RawDigest {
  #rawBytes = 0;
  #lines = 0;
  #end = '';
  readonly #hash = createHash('sha256');

  get rawBytes(): number {
    return this.#rawBytes;
  }

  update(chunk: Buffer): void {
    this.#hash.update(chunk);
    this.#rawBytes += chunk.length;
    // indexOf runs at memory speed; a loop over the bytes does not.
    for (let at = chunk.indexOf(NEWLINE); at !== -1; at = chunk.indexOf(NEWLINE, at + 1)) this.#lines += 1;
    // One more than the end itself: the line before it must be complete.
    this.#end = (this.#end + chunk.toString('latin1', Math.max(0, chunk.length - 6))).slice(-6);
  }

  finish(): RawContent {
    const complete = this.#end === TABLE_END || this.#end === `\n${TABLE_END}`;
    return { rawBytes: this.#rawBytes, sha256: this.#hash.digest('hex'), rows: complete ? this.#lines - 3 : null };
  }
}

let buffer: Buffer | undefined;

/** Reads one file once, and does nothing else meanwhile: for small files, and for threads. */
export function digestFile(path: string): RawContent {
  // One for all files: 20,000 large objects must not be 20,000 pieces of memory.
  buffer ??= Buffer.allocUnsafeSlow(READ_BYTES);
  const digest = new RawDigest();
  const file = openSync(path, 'r');
  try {
    for (;;) {
      const size = readSync(file, buffer, 0, buffer.length, null);
      if (size === 0) return digest.finish();
      digest.update(buffer.subarray(0, size));
    }
  } finally {
    closeSync(file);
  }
}

export interface ListedFile {
  readonly name: string;
  readonly sha256: string;
}

/**
 * One SHA-256 for a list of files: that of the text which `sha256sum` prints for them in this order. So it can be
 * taken in any order and in parallel, and files that changed places are not the same list.
 */
export function digestOfList(files: readonly ListedFile[]): string {
  const hash = createHash('sha256');
  for (const { name, sha256 } of files) hash.update(`${sha256}  ${name}\n`);
  return hash.digest('hex');
}
