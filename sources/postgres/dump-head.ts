import { constants } from 'node:fs';
import { access, open, stat, type FileHandle } from 'node:fs/promises';

import { CofreError, nativeCode } from '../../errors/error.ts';
import { startTool } from '../../processes/tool.ts';
import { UNWRAP, type Wrapping } from './archive-files.ts';
import { NEWEST_FOR_OLD_SERVERS } from './clients.ts';

/** What the first bytes of a dump tell: its name is no proof of what it is. */
export interface DumpHead {
  /** What it is wrapped in. */
  readonly wrapping: Wrapping;
  readonly kind: 'archive' | 'sql' | 'unknown';
  /** Of an archive, such as `15.20`: the server that was dumped, and pg_dump itself; null where it does not say. */
  readonly serverVersion: string | null;
  readonly dumpVersion: string | null;
  /** What the clock of the machine showed that dumped, in milliseconds as if it were UTC: its time zone is not in the dump. */
  readonly localMs: number | null;
}

const MAGIC = 'PGDMP';
const HEAD_BYTES = 4096;

/** To open a named pipe would wait for somebody to write. */
async function requireReadable(path: string): Promise<void> {
  try {
    const found = await stat(path);
    await access(path, constants.R_OK);
    if (found.isFile()) return;
  } catch (error) {
    if (nativeCode(error) !== 'ENOENT' && nativeCode(error) !== 'EACCES') throw error;
  }
  throw new CofreError('not-found', `there is no readable file ${path} on this host`, {
    hint: 'give the path as the worker of the host sees it, readable by its user',
  });
}

/** Reads the beginning of a dump that another job made. @throws CofreError `not-found`. */
export async function readDumpHead(path: string): Promise<DumpHead> {
  await requireReadable(path);
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
    const wrapping = ({ '1f8b': 'gzip', '28b5': 'zstd' } as const)[buffer.toString('hex', 0, 2)] ?? 'nothing';
    const head = wrapping === 'nothing' ? buffer.subarray(0, bytesRead) : await unpackHead(file, wrapping);
    if (head.toString('latin1', 0, MAGIC.length) === MAGIC)
      return { wrapping, kind: 'archive', ...readArchiveHead(head) };
    return { wrapping, kind: isSql(head) ? 'sql' : 'unknown', serverVersion: null, dumpVersion: null, localMs: null };
  } finally {
    await file.close();
  }
}

/**
 * @throws CofreError `bad-content` for what no restore can prove whole; `tool-version` for a dump of a newer server, or one
 * that no pg_restore for this server reads.
 */
export function requireRestorable(path: string, head: DumpHead, serverVersionNumber: number): void {
  if (head.kind === 'sql') {
    throw new CofreError(
      'bad-content',
      `${path} is a dump in SQL text: nothing in it says whether it is whole, and psql takes half of one for a success`,
      {
        hint: 'dump with pg_dump -Fc. This one, if its last lines say "PostgreSQL database dump complete", goes by hand into a new database (psql -1 -v ON_ERROR_STOP=1); dump that with -Fc',
      },
    );
  }
  if (head.kind === 'unknown') {
    throw new CofreError(
      'bad-content',
      `${path} is not a custom-format dump of PostgreSQL (pg_dump -Fc), plain or in gzip or zstd`,
      { hint: 'look what wrote it, and whether its beginning is missing' },
    );
  }
  const major = Math.floor(serverVersionNumber / 10_000);
  const from = Number.parseInt(head.serverVersion ?? '0', 10);
  const by = Number.parseInt(head.dumpVersion ?? '0', 10);
  if (from <= major && by <= Math.max(major, NEWEST_FOR_OLD_SERVERS)) return;
  throw new CofreError(
    'tool-version',
    `${path} was dumped from PostgreSQL ${head.serverVersion} by pg_dump ${head.dumpVersion}, and this server is PostgreSQL ${major}`,
    {
      hint:
        from > major
          ? `restore to a server of version ${from} or newer`
          : `pg_restore ${by}, which could read it, writes what this server does not understand: dump again with pg_dump ${from}`,
    },
  );
}

async function unpackHead(file: FileHandle, wrapping: Wrapping): Promise<Buffer> {
  // Read from the start: the bytes above were read at a position of their own.
  const tool = startTool(UNWRAP[wrapping], { stdin: file.fd, stdout: 'pipe' });
  let head = Buffer.alloc(0);
  for await (const chunk of tool.stdout as AsyncIterable<Buffer>) {
    head = Buffer.concat([head, chunk]);
    if (head.length >= HEAD_BYTES) break;
  }
  // Ended too early, or damaged later on: opening it whole tells.
  tool.kill();
  await tool.done.catch(() => undefined);
  return head.subarray(0, HEAD_BYTES);
}

function isSql(head: Buffer): boolean {
  return /^\s*(--|\/\*|\\restrict\b|(SET|CREATE|BEGIN|COPY|INSERT|SELECT|DROP|ALTER)\b)/i.test(head.toString('latin1'));
}

/** The head of a custom-format archive, as pg_dump's WriteHead writes it. */
function readArchiveHead(head: Buffer): Pick<DumpHead, 'serverVersion' | 'dumpVersion' | 'localMs'> {
  const reader = new HeadReader(head, MAGIC.length);
  const version = reader.byte() * 100 + reader.byte();
  reader.byte();
  reader.intBytes = reader.byte();
  reader.byte();
  reader.byte();
  // The compression: since 1.15 the kind of it, before that its level.
  if (version >= 115) reader.byte();
  else reader.int();
  // As `struct tm` has them.
  const [second = 0, minute = 0, hour = 0, day = 0, month = 0, year = 0] = Array.from({ length: 7 }, () =>
    reader.int(),
  );
  const localMs = Date.UTC(1900 + year, month, day, hour, minute, second);
  reader.text();
  return {
    serverVersion: reader.text(),
    dumpVersion: reader.text(),
    localMs: Number.isFinite(localMs) ? localMs : null,
  };
}

class HeadReader {
  readonly #head: Buffer;
  #at: number;
  intBytes = 0;

  constructor(head: Buffer, at: number) {
    this.#head = head;
    this.#at = at;
  }

  byte(): number {
    return this.#head[this.#at++] ?? 0;
  }

  int(): number {
    const sign = this.byte() === 0 ? 1 : -1;
    let value = 0;
    for (let index = 0; index < this.intBytes; index += 1) value += this.byte() * 256 ** index;
    return sign * value;
  }

  text(): string | null {
    const length = this.int();
    if (length < 0 || this.#at + length > this.#head.length) return null;
    const text = this.#head.toString('latin1', this.#at, this.#at + length);
    this.#at += length;
    return text;
  }
}
