import type { DumpContent } from '../../catalog/manifest.ts';
import { CofreError } from '../../errors/error.ts';
import { digestOfList, RawDigest } from './raw-digest.ts';

/** What `pg_restore --section=data --file=-` wrote: the same bytes, hashes and rows as a directory-format dump's files. */
export interface ScriptContent {
  /** In the archive's order; `name` as its COPY statement has it: quoted, and in `encoding`. */
  readonly tables: readonly {
    readonly name: Buffer;
    readonly rows: number;
    readonly rawBytes: number;
    readonly sha256: string;
  }[];
  /** The client encoding that the script asks for, in PostgreSQL's words; null where it asks for none. */
  readonly encoding: string | null;
  /** Data that are no COPY: they are neither hashed nor counted. */
  readonly hasInserts: boolean;
  /** By oid; named as a directory-format dump names their files. */
  readonly largeObjects: readonly { readonly name: string; readonly rawBytes: number; readonly sha256: string }[];
}

/** What a manifest says of the large objects of a script. */
export function largeObjectContent(largeObjects: ScriptContent['largeObjects']): DumpContent['largeObjects'] {
  return {
    count: largeObjects.length,
    rawBytes: largeObjects.reduce((sum, { rawBytes }) => sum + rawBytes, 0),
    sha256: largeObjects.length === 0 ? null : digestOfList(largeObjects),
  };
}

const NEWLINE = 10;
const QUOTE = 34;
const SPACE = 32;
const COPY = Buffer.from('COPY ');
const COPY_END = ' FROM stdin;\n';
const SELECT = Buffer.from('SELECT pg_catalog.lo');
const ENCODING = Buffer.from('SET client_encoding = ');
const INSERT = Buffer.from('INSERT INTO ');
/** A line `\.` cannot be a row. The two empty lines after it belong to pg_dump's data, too. */
const DATA_END = Buffer.from('\n\\.\n\n\n');

/**
 * Reads the script piece by piece. Data of a table stand between `COPY … FROM stdin;` and `\.`; of a large object in
 * `lowrite` calls. Names are not decoded: they are in the script's encoding, and the order is that of the archive's list.
 */
export class DataScript {
  #pending: Buffer = Buffer.alloc(0);
  #table: RawDigest | undefined;
  #name: Buffer = Buffer.alloc(0);
  #encoding: string | null = null;
  #hasInserts = false;
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
    return {
      tables: this.#tables,
      encoding: this.#encoding,
      hasInserts: this.#hasInserts,
      largeObjects: this.#objects.sort((a, b) => a.oid - b.oid),
    };
  }

  /** Takes one line, or one COPY statement, whose names may have line breaks; false when more must come first. */
  #readStatement(): boolean {
    const isCopy = this.#startsWith(COPY);
    const end = isCopy ? endOfCopy(this.#pending) : this.#pending.indexOf(NEWLINE) + 1;
    if (end === 0) return false;
    if (isCopy) {
      this.#table = new RawDigest();
      this.#name = nameIn(this.#pending.subarray(COPY.length, end - COPY_END.length));
      this.#skipFirst = true;
      this.#pending = this.#pending.subarray(end - 1);
      return true;
    }
    if (this.#startsWith(SELECT)) this.#readCall(this.#pending.toString('latin1', 0, end));
    else if (this.#startsWith(INSERT)) this.#hasInserts = true;
    else if (this.#startsWith(ENCODING))
      this.#encoding = /'([A-Za-z0-9_]+)'/.exec(this.#pending.toString('latin1', 0, end))?.[1] ?? null;
    this.#pending = this.#pending.subarray(end);
    return true;
  }

  #startsWith(words: Buffer): boolean {
    return this.#pending.subarray(0, words.length).equals(words);
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
    this.#tables.push({ ...content, name: this.#name, rows: rows ?? 0 });
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

/** Of `public."My table" (id, name)` what stands before the columns, which a table without any has not: a copy of it. */
function nameIn(text: Buffer): Buffer {
  let quoted = false;
  for (const [at, byte] of text.entries()) {
    if (byte === QUOTE) quoted = !quoted;
    else if (byte === SPACE && !quoted) return Buffer.from(text.subarray(0, at));
  }
  return Buffer.from(text);
}

/** The offset after the statement, 0 while it is not all there. Inside of quotes nothing ends it. */
function endOfCopy(text: Buffer): number {
  for (let at = text.indexOf(COPY_END); at !== -1; at = text.indexOf(COPY_END, at + 1)) {
    const quotes = text.subarray(0, at).filter((byte) => byte === QUOTE).length;
    if (quotes % 2 === 0) return at + COPY_END.length;
  }
  return 0;
}
