import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { link, open, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { CofreError, nativeCode } from '../../errors/error.ts';
import { badContent } from '../body-reader.ts';
import type { Body, PutOptions, StoreMode } from '../destination.ts';
import { hashOpenFile } from '../local-file.ts';
import { removeAbandoned, temporaryName } from '../temporary-file.ts';
import { toDirectoryError } from './errors.ts';
import { dropFromMemory } from './drop-cache.ts';

/**
 * The group may read: operators restore with stock tools, and a second system copies the folder, under accounts of their
 * own. Nobody else: these are customers' personal data. A stricter umask of the worker wins.
 */
export const FILE_MODE = 0o640;

/**
 * Written bytes are brought to the medium so often. Otherwise a large object would fill the machine's memory with pages
 * to write, its progress would only be memory's, and the last fsync would stand still for minutes.
 */
const SYNC_EVERY_BYTES = 64 * 1024 * 1024;

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
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (cause) {
    if (nativeCode(cause) === 'ENOENT') return false;
    throw toDirectoryError(cause, `cannot read ${path}`);
  }
  try {
    const { size } = await inFileSystem(`cannot read ${path}`, () => file.stat());
    if (size === body.sizeBytes && (await hashStored(file, path, options)) === body.sha256) return true;
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

async function writeTemporary(path: string, body: Body, options: PutOptions): Promise<void> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const file = await inFileSystem(`cannot write in ${dirname(path)}`, () => open(path, flags, FILE_MODE));
  try {
    // First, because what a killed put left may hold the very room that this one needs.
    await inFileSystem(`cannot clean ${dirname(path)}`, async () =>
      removeAbandoned(dirname(path), (await file.stat()).mtimeMs),
    );
    await copyBody(file, path, body, options);
    await inFileSystem(`cannot write ${path}`, () => file.sync());
  } finally {
    await file.close();
  }
}

/** Failures of the body and of the signal pass through as they are; only those of the file become the driver's. */
async function copyBody(file: FileHandle, path: string, body: Body, options: PutOptions): Promise<void> {
  const { signal, onProgress, pace } = options;
  const hash = createHash('sha256');
  let sizeBytes = 0;
  const writer = new Writer(file);
  const stream = body.open();
  const onAbort = (): void => {
    stream.destroy(signal?.reason as Error);
  };
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      sizeBytes += chunk.length;
      if (sizeBytes > body.sizeBytes) break;
      await pace?.(chunk.length);
      const written = inFileSystem(`cannot write ${path}`, () => writer.write(chunk));
      // While the kernel takes them in another thread, and the stream reads the next ones in a third.
      hash.update(chunk);
      await written;
      onProgress?.(sizeBytes);
    }
  } finally {
    signal?.removeEventListener('abort', onAbort);
    // Before the file is closed under it; what it says is asked below, where nothing else has failed.
    await writer.settle().catch(() => undefined);
  }
  signal?.throwIfAborted();
  // The kernel tells a failed write once: the last fsync would say that all is well.
  await inFileSystem(`cannot write ${path}`, () => writer.settle());
  if (sizeBytes === body.sizeBytes && hash.digest('hex') === body.sha256) return;
  throw badContent(body);
}

/** Writes to a file, and brings what is written to the medium meanwhile. */
class Writer {
  readonly #file: FileHandle;
  #unsyncedBytes = 0;
  #syncing: Promise<void> = Promise.resolve();

  constructor(file: FileHandle) {
    this.#file = file;
  }

  async write(chunk: Buffer): Promise<void> {
    for (let done = 0; done < chunk.length;) {
      done += (await this.#file.write(chunk, done, chunk.length - done)).bytesWritten;
    }
    this.#unsyncedBytes += chunk.length;
    if (this.#unsyncedBytes < SYNC_EVERY_BYTES) return;
    this.#unsyncedBytes = 0;
    // One at a time: no more than twice that much waits for the medium.
    await this.#syncing;
    this.#syncing = this.#file.datasync();
    this.#syncing.catch(() => undefined); // Whoever waits for it next is told.
  }

  /** Waits for what is under way. @throws the failure of bringing written bytes to the medium. */
  async settle(): Promise<void> {
    await this.#syncing;
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
