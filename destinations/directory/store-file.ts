import { constants } from 'node:fs';
import { link, open, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { CofreError, nativeCode } from '../../errors/error.ts';
import { BodyReader } from '../body-reader.ts';
import type { Body, PutOptions, StoreMode } from '../destination.ts';
import { hashOpenFile } from '../local-file.ts';
import { removeAbandoned, temporaryName } from '../temporary-file.ts';
import { toDirectoryError } from './errors.ts';
import { dropFromMemory } from './drop-cache.ts';
import { PIECE_BYTES, giveBackPieces, takePieces } from './piece-memory.ts';

/**
 * The group may read: operators restore with stock tools, and a second system copies the folder, under accounts of their
 * own. Nobody else: these are customers' personal data. A stricter umask of the worker wins.
 */
export const FILE_MODE = 0o640;

/**
 * Written bytes are brought to the medium so often. Otherwise a large object would fill the machine's memory with pages
 * to write, its progress would only be memory's, and the last fsync would stand still for minutes.
 */
const SYNC_EVERY_BYTES = 32 * 1024 * 1024;

/** Direct writes begin and end at multiples of this: no medium or file system in use wants more (open(2), O_DIRECT). */
const BLOCK_BYTES = 4096;

/** What `link` says on file systems that have no hard links (FAT, some network and user-space ones). */
const NO_LINKS = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']);

/**
 * Writes `body` to `path` in a folder that exists: whole or not at all, durable but for the name (the caller syncs the
 * folders), and never over what is there unless `mode` says so.
 */
export async function storeFile(path: string, body: Body, options: PutOptions, mode: StoreMode): Promise<void> {
  const temporary = join(dirname(path), temporaryName());
  try {
    await writeTemporary(temporary, body, options);
    await dropFromMemory(temporary, options.signal);
    options.signal?.throwIfAborted();
    if (mode === 'replace') {
      await inFileSystem(`cannot replace ${path}`, () => rename(temporary, path));
      return;
    }
    // Not `rename`, which would replace an object that another writer has put there meanwhile.
    await link(temporary, path).catch(async (cause: unknown) => {
      if (nativeCode(cause) !== 'EEXIST') throw toLinkError(cause, path);
      await requireSame(path, body, options);
    });
  } catch (error) {
    // If even that fails, a later put finds it abandoned; the first failure is the one to tell.
    await rm(temporary, { force: true }).catch(() => undefined);
    throw error;
  }
  await inFileSystem(`cannot remove ${temporary}`, () => rm(temporary, { force: true }));
}

/**
 * Compares what is stored with `body`. Gives false if there is nothing.
 * @throws CofreError `already-exists` when it is something else.
 */
export async function isStored(path: string, body: Body, options: PutOptions): Promise<boolean> {
  let file: FileHandle;
  try {
    // Not blocking, for what is no file: a named pipe would wait for its writer, and with it a thread of the worker.
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (cause) {
    if (nativeCode(cause) === 'ENOENT') return false;
    throw toDirectoryError(cause, `cannot read ${path}`);
  }
  try {
    const found = await inFileSystem(`cannot read ${path}`, () => file.stat());
    if (found.isFile() && found.size === body.sizeBytes && (await hashStored(file, path, options)) === body.sha256)
      return true;
  } finally {
    await file.close();
  }
  throw new CofreError('already-exists', `${path} exists and is another object`, {
    hint: 'objects are never replaced: look who else writes there',
  });
}

async function requireSame(path: string, body: Body, options: PutOptions): Promise<void> {
  if (await isStored(path, body, options)) return;
  throw new CofreError('destination-unavailable', `${path} was there and was removed in the same moment`);
}

async function hashStored(file: FileHandle, path: string, options: PutOptions): Promise<string> {
  try {
    return (await hashOpenFile(file, options)).sha256;
  } catch (cause) {
    options.signal?.throwIfAborted();
    throw toDirectoryError(cause, `cannot read ${path}`);
  }
}

/**
 * Large ones go past the machine's memory, whose pages belong to the database that works there, and past a copy in it.
 * Some file systems have no way past it.
 */
async function writeTemporary(path: string, body: Body, options: PutOptions): Promise<void> {
  if (body.sizeBytes > PIECE_BYTES) {
    try {
      await writeThrough(path, body, options, constants.O_DIRECT);
      return;
    } catch (error) {
      if (!(error instanceof CofreError) || nativeCode(error.cause) !== 'EINVAL') throw error;
      // Some make the file before they refuse.
      await inFileSystem(`cannot remove ${path}`, () => rm(path, { force: true }));
    }
  }
  await writeThrough(path, body, options, 0);
}

async function writeThrough(path: string, body: Body, options: PutOptions, direct: number): Promise<void> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW | direct;
  const file = await inFileSystem(`cannot write in ${dirname(path)}`, () => open(path, flags, FILE_MODE));
  try {
    // First, because what a killed put left may hold the very room that this one needs.
    await inFileSystem(`cannot clean ${dirname(path)}`, async () =>
      removeAbandoned(dirname(path), (await file.stat()).mtimeMs),
    );
    await copyBody(new Writer(file, direct !== 0), path, body, options);
    await inFileSystem(`cannot write ${path}`, () => file.sync());
  } finally {
    await file.close();
  }
}

/** Failures of the body and of the signal pass through as they are; only those of the file become the driver's. */
async function copyBody(writer: Writer, path: string, body: Body, options: PutOptions): Promise<void> {
  const { signal, onProgress, pace } = options;
  const reader = new BodyReader(body, signal);
  const pieces = takePieces();
  let askedBytes = 0;
  const readNext = (): Promise<Buffer> => {
    const piece = pieces.shift() as Buffer;
    pieces.push(piece);
    const reading = reader.read(piece.subarray(0, body.sizeBytes - askedBytes));
    askedBytes = Math.min(askedBytes + PIECE_BYTES, body.sizeBytes);
    reading.catch(() => undefined); // Told when its turn comes.
    return reading;
  };
  let reading = readNext();
  try {
    // A write that fails is told at once: the source may stand still.
    const next = (): Promise<Buffer> =>
      Promise.race([reading, inFileSystem(`cannot write ${path}`, () => writer.failure())]);
    for (let piece = await next(); piece.length > 0; piece = await next()) {
      reading = readNext();
      await pace?.(piece.length);
      await inFileSystem(`cannot write ${path}`, () => writer.room());
      onProgress?.(writer.writtenBytes);
      writer.write(piece);
      // While the kernel takes this one, and reads the next one.
      reader.hash(piece);
    }
    await reader.finish();
    // The kernel tells a failed write once: the last fsync would say that all is well.
    await inFileSystem(`cannot write ${path}`, () => writer.end());
    onProgress?.(body.sizeBytes);
  } finally {
    await reader.close();
    // Before the file is closed under them; what they say is told above, where nothing else has failed.
    await writer.settle();
    // A source that stands still may read into them for a long time yet; nobody waits for it.
    void reading.catch(() => undefined).then(() => giveBackPieces(pieces));
  }
  signal?.throwIfAborted();
}

/** Writes to a file, two pieces at a time, and brings what is written to the medium meanwhile. */
class Writer {
  readonly #file: FileHandle;
  readonly #direct: boolean;
  /** The last one, and the one before it. */
  #writing: readonly [Promise<void>, Promise<void>] = [Promise.resolve(), Promise.resolve()];
  #syncing: Promise<void> = Promise.resolve();
  #givenBytes = 0;
  #syncedBytes = 0;
  writtenBytes = 0;

  constructor(file: FileHandle, direct: boolean) {
    this.#file = file;
    this.#direct = direct;
  }

  /** Begins to write, where there is `room`. The bytes must stay as they are for two pieces more. */
  write(piece: Buffer): void {
    const writing = this.#write(piece, this.#givenBytes);
    writing.catch(() => undefined); // Whoever waits for it is told, as of the syncing.
    this.#writing = [writing, this.#writing[0]];
    this.#givenBytes += piece.length;
  }

  async #write(piece: Buffer, at: number): Promise<void> {
    // The end of a body may be no end of a block: it is filled up, and cut off by `end`.
    const length = this.#direct ? Math.ceil(piece.length / BLOCK_BYTES) * BLOCK_BYTES : piece.length;
    const bytes = Buffer.from(piece.buffer, piece.byteOffset, length).fill(0, piece.length);
    for (let done = 0; done < length;) {
      done += (await this.#file.write(bytes, done, length - done, at + done)).bytesWritten;
    }
    this.writtenBytes += piece.length;
    if (this.writtenBytes - this.#syncedBytes < SYNC_EVERY_BYTES) return;
    this.#syncedBytes = this.writtenBytes;
    // One at a time: no more than twice that much waits for the medium.
    await this.#syncing;
    this.#syncing = this.#file.datasync();
    this.#syncing.catch(() => undefined);
  }

  /** Waits until no more than one is being written. */
  async room(): Promise<void> {
    await this.#writing[1];
  }

  /** Rejects if what is being written fails, and does nothing else. */
  async failure(): Promise<never> {
    await Promise.all(this.#writing);
    return await new Promise<never>(() => undefined);
  }

  /** Waits for all that is on its way, and leaves what was given, to the byte. */
  async end(): Promise<void> {
    await Promise.all(this.#writing);
    await this.#syncing;
    if (this.#direct) await this.#file.truncate(this.#givenBytes);
  }

  /** Waits for the same, and says nothing of how it went. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#writing);
    await this.#syncing.catch(() => undefined);
  }
}

function toLinkError(cause: unknown, path: string): CofreError {
  if (!NO_LINKS.has(nativeCode(cause) ?? '')) return toDirectoryError(cause, `cannot publish ${path}`);
  return new CofreError('access-denied', `the file system of ${path} has no hard links`, {
    cause,
    hint: 'a directory destination needs them, so that nothing is ever replaced: use ext4, XFS, ZFS or NFS',
  });
}

async function inFileSystem<T>(doing: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw toDirectoryError(cause, doing);
  }
}
