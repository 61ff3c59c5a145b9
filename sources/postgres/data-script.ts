import { CofreError } from '../../errors/error.ts';
import { RawDigest } from './raw-digest.ts';

/** What `pg_restore --section=data --file=-` wrote: the same bytes, hashes and rows as a directory-format dump's files. */
export interface ScriptContent {
  /** In the archive's order. */
  readonly tables: readonly { readonly rows: number; readonly rawBytes: number; readonly sha256: string }[];
  /** By oid; named as a directory-format dump names their files. */
  readonly largeObjects: readonly { readonly name: string; readonly rawBytes: number; readonly sha256: string }[];
}

const NEWLINE = 10;
const QUOTE = 34;
const COPY = Buffer.from('COPY ');
const COPY_END = ' FROM stdin;\n';
const SELECT = Buffer.from('SELECT pg_catalog.lo');
/** A line `\.` cannot be a row. The two empty lines after it belong to pg_dump's data, too. */
const DATA_END = Buffer.from('\n\\.\n\n\n');

/**
 * Reads the script piece by piece. Data of a table stand between `COPY … FROM stdin;` and `\.`; of a large object in
 * `lowrite` calls. Names are not read: they are in the database's encoding, and the order is that of the archive's list.
 */
export class DataScript {
  #pending: Buffer = Buffer.alloc(0);
  #table: RawDigest | undefined;
  /** The line break before a table's data belongs to the COPY statement, and to the search for the end. */
  #skipFirst = false;
  #object: { readonly oid: number; readonly digest: RawDigest } | undefined;
  readonly #tables: ScriptContent['tables'][number][] = [];
  readonly #objects: (ScriptContent['largeObjects'][number] & { readonly oid: number })[] = [];

  update(chunk: Buffer): void {
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    while (this.#table === undefined ? this.#readStatement() : this.#readData(this.#table));
  }

  /** @throws CofreError `bad-content` when the script stopped inside of data. */
  finish(): ScriptContent {
    if (this.#table !== undefined || this.#object !== undefined) {
      throw new CofreError('bad-content', 'the dump ends inside the data of a table or a large object');
    }
    return { tables: this.#tables, largeObjects: this.#objects.sort((a, b) => a.oid - b.oid) };
  }

  /** Takes one line, or one COPY statement, whose names may have line breaks; false when more must come first. */
  #readStatement(): boolean {
    const isCopy = this.#pending.subarray(0, COPY.length).equals(COPY);
    const end = isCopy ? endOfCopy(this.#pending) : this.#pending.indexOf(NEWLINE) + 1;
    if (end === 0) return false;
    if (isCopy) {
      this.#table = new RawDigest();
      this.#skipFirst = true;
      this.#pending = this.#pending.subarray(end - 1);
      return true;
    }
    if (this.#pending.subarray(0, SELECT.length).equals(SELECT))
      this.#readCall(this.#pending.toString('latin1', 0, end));
    this.#pending = this.#pending.subarray(end);
    return true;
  }

  #readData(table: RawDigest): boolean {
    const found = this.#pending.indexOf(DATA_END);
    // Not found: its beginning may be the end of what is here.
    const end = found === -1 ? this.#pending.length - DATA_END.length + 1 : found + DATA_END.length;
    if (end > 0) {
      table.update(this.#pending.subarray(this.#skipFirst ? 1 : 0, end));
      this.#skipFirst = false;
      this.#pending = this.#pending.subarray(end);
    }
    if (found === -1) return false;
    const { rows, ...content } = table.finish();
    this.#tables.push({ ...content, rows: rows ?? 0 });
    this.#table = undefined;
    return true;
  }

  #readCall(line: string): void {
    const opened = /^SELECT pg_catalog\.lo_open\('(\d+)', /.exec(line)?.[1];
    if (opened !== undefined) this.#object = { oid: Number(opened), digest: new RawDigest() };
    if (this.#object === undefined) return;
    const hex = /^SELECT pg_catalog\.lowrite\(0, '\\{1,2}x([0-9a-f]*)'\);/.exec(line)?.[1];
    if (hex !== undefined) this.#object.digest.update(Buffer.from(hex, 'hex'));
    if (line.startsWith('SELECT pg_catalog.lo_close(')) {
      const { rawBytes, sha256 } = this.#object.digest.finish();
      this.#objects.push({ oid: this.#object.oid, name: `blob_${this.#object.oid}.dat`, rawBytes, sha256 });
      this.#object = undefined;
    }
  }
}

/** The offset after the statement, 0 while it is not all there. Inside of quotes nothing ends it. */
function endOfCopy(text: Buffer): number {
  for (let at = text.indexOf(COPY_END); at !== -1; at = text.indexOf(COPY_END, at + 1)) {
    const quotes = text.subarray(0, at).filter((byte) => byte === QUOTE).length;
    if (quotes % 2 === 0) return at + COPY_END.length;
  }
  return 0;
}
