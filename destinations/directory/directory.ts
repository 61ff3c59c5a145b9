import { constants } from 'node:fs';
import { lstat, mkdir, open, opendir, rm, rmdir, unlink, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { pathToFileURL } from 'node:url';

import { CofreError, nativeCode } from '../../errors/error.ts';
import type {
  Body,
  CallOptions,
  Destination,
  GetOptions,
  PutOptions,
  StoreMode,
  StoredObject,
} from '../destination.ts';
import { RESERVED_KEY, isKeySegment, requireAliasKey, splitKey, splitPrefix } from '../key.ts';
import { partOf } from '../range.ts';
import { isSame } from '../stored.ts';
import { refuseLink } from '../symbolic-link.ts';
import { removeAbandoned } from '../temporary-file.ts';
import { toDirectoryError } from './errors.ts';
import { requireMarker } from './marker.ts';
import { readOpenFile } from './file-reader.ts';
import { isStored, storeFile } from './store-file.ts';
import { syncFolder } from './sync-folder.ts';

/** As for the files: the group may look, others may not. */
const FOLDER_MODE = 0o750;

/**
 * A folder as a destination: a volume, or another system's mount. Every call first looks for the marker of
 * `prepareDirectory`, because an absent volume must never look like an empty one. Symbolic links below the folder are
 * refused, so that nothing is read, written or removed elsewhere.
 */
export class DirectoryDestination implements Destination {
  readonly url: string;
  readonly #name: string;
  readonly #root: string;

  constructor(name: string, root: string) {
    this.#name = name;
    this.#root = root;
    this.url = pathToFileURL(root).href;
  }

  async put(key: string, body: Body, options: PutOptions = {}): Promise<StoredObject> {
    return await this.#store(key, body, options, 'create');
  }

  async replace(key: string, body: Body, options: PutOptions = {}): Promise<StoredObject> {
    requireAliasKey(key);
    return await this.#store(key, body, options, 'replace');
  }

  async #store(key: string, body: Body, options: PutOptions, mode: StoreMode): Promise<StoredObject> {
    const segments = await this.#begin(splitKey(key), options);
    const folders = await this.#makeFolders(segments.slice(0, -1));
    const path = join(this.#root, ...segments);
    const stored = await isSame(isStored(path, body, options), mode);
    if (!stored) {
      try {
        await storeFile(path, body, options, mode);
      } catch (error) {
        // Nobody may come back for the folders: a host that was frozen here finds its attempt removed when it wakes up.
        await this.#removeEmptyFolders(segments.slice(0, -1)).catch(() => undefined);
        throw error;
      }
    }
    try {
      // The put that stored it may have been killed before its temporary was removed.
      if (stored) await removeAbandoned(dirname(path), Date.now());
      // All of them each time: a put that was killed here may have made them, and nobody synced their names.
      for (const folder of folders.reverse()) await syncFolder(folder);
    } catch (cause) {
      throw this.#error(cause, key);
    }
    return { key, sizeBytes: body.sizeBytes };
  }

  async get(key: string, options: GetOptions = {}): Promise<Readable> {
    const segments = await this.#begin(splitKey(key), options);
    const file = await this.#openObject(key, segments);
    try {
      const { size } = await file.stat();
      const part = partOf(key, size, options.range);
      options.signal?.throwIfAborted();
      return readOpenFile(file, part, (cause) => this.#error(cause, key), options.signal);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  async stat(key: string, options: CallOptions = {}): Promise<StoredObject> {
    const file = await this.#openObject(key, await this.#begin(splitKey(key), options));
    try {
      return { key, sizeBytes: (await file.stat()).size };
    } catch (cause) {
      throw this.#error(cause, key);
    } finally {
      await file.close();
    }
  }

  async *list(prefix: string, options: CallOptions = {}): AsyncIterable<StoredObject> {
    const segments = await this.#begin(splitPrefix(prefix), options);
    const folder = await this.#findFolder(segments);
    if (folder !== undefined) yield* this.#walk(folder, prefix, options.signal);
    // A volume that went away in the middle must not look like one that lost its objects.
    await requireMarker(this.#root);
  }

  async remove(key: string, options: CallOptions = {}): Promise<void> {
    const segments = await this.#begin(splitKey(key), options);
    const folder = await this.#findFolder(segments.slice(0, -1));
    try {
      if (folder !== undefined) {
        await unlink(join(this.#root, ...segments)).catch(ignore('ENOENT', 'EISDIR'));
        await removeAbandoned(folder, Date.now());
      }
      await this.#removeEmptyFolders(segments.slice(0, -1));
    } catch (cause) {
      throw this.#error(cause, key);
    }
  }

  async discard(prefix: string, options: CallOptions = {}): Promise<void> {
    const segments = await this.#begin(splitPrefix(prefix), options);
    if (segments.length === 0) throw new CofreError('invalid-key', 'refuses to discard the whole destination');
    const folder = await this.#findFolder(segments);
    try {
      if (folder !== undefined) await rm(folder, { recursive: true, force: true });
      await this.#removeEmptyFolders(segments.slice(0, -1));
    } catch (cause) {
      throw this.#error(cause, prefix);
    }
  }

  async identity(): Promise<string> {
    return await requireMarker(this.#root);
  }

  async close(): Promise<void> {
    // Nothing is kept open.
  }

  async #begin(segments: string[], { signal }: CallOptions): Promise<string[]> {
    signal?.throwIfAborted();
    await requireMarker(this.#root);
    return segments;
  }

  /** The folder of these segments; undefined where there is none. */
  async #findFolder(segments: readonly string[]): Promise<string | undefined> {
    let path = this.#root;
    for (const segment of segments) {
      path = join(path, segment);
      try {
        const found = await lstat(path);
        if (found.isSymbolicLink()) throw refuseLink(path, this.#name);
        if (!found.isDirectory()) return undefined;
      } catch (cause) {
        if (nativeCode(cause) === 'ENOENT') return undefined;
        throw this.#error(cause, segments.join('/'));
      }
    }
    return path;
  }

  /** Makes what is missing of a key's folders, and gives them all, from the root down. */
  async #makeFolders(segments: readonly string[]): Promise<string[]> {
    const folders = [this.#root];
    for (const segment of segments) {
      const path = join(folders.at(-1) ?? this.#root, segment);
      try {
        // Without `recursive`, which would follow a link on its way.
        await mkdir(path, { mode: FOLDER_MODE }).catch(ignore('EEXIST'));
        const found = await lstat(path);
        if (found.isSymbolicLink()) throw refuseLink(path, this.#name);
        if (!found.isDirectory()) throw new CofreError('invalid-key', `${path} is an object and cannot be a folder`);
      } catch (cause) {
        throw this.#error(cause, segments.join('/'));
      }
      folders.push(path);
    }
    return folders;
  }

  /**
   * Removes the folders that a removal left empty, and makes durable what is gone; a put that loses its folder so tries
   * again. Goes on above those that are gone: a removal that was killed here has left the others.
   */
  async #removeEmptyFolders(segments: readonly string[]): Promise<void> {
    for (let depth = segments.length; depth >= 0; depth -= 1) {
      const folder = await this.#findFolder(segments.slice(0, depth));
      if (folder === undefined) continue;
      const removed =
        depth > 0 && (await rmdir(folder).then(() => true, ignore('ENOTEMPTY', 'EEXIST', 'ENOENT', 'EBUSY')));
      if (removed === true) continue;
      await syncFolder(folder).catch(ignore('ENOENT'));
      return;
    }
  }

  async #openObject(key: string, segments: readonly string[]): Promise<FileHandle> {
    if ((await this.#findFolder(segments.slice(0, -1))) === undefined) throw await this.#missing(key);
    let file: FileHandle;
    try {
      // Not blocking, for what is no file: a named pipe would wait for its writer.
      file = await open(
        join(this.#root, ...segments),
        constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
      );
    } catch (cause) {
      throw nativeCode(cause) === 'ENOENT' ? await this.#missing(key) : this.#error(cause, key);
    }
    if ((await file.stat()).isFile()) return file;
    await file.close();
    throw await this.#missing(key);
  }

  async #missing(key: string): Promise<CofreError> {
    // Not there, or not there any more because the volume went away?
    await requireMarker(this.#root);
    return new CofreError('not-found', `there is no ${key} in ${this.#name} (${this.url})`);
  }

  async *#walk(folder: string, prefix: string, signal: AbortSignal | undefined): AsyncIterable<StoredObject> {
    try {
      for await (const entry of await opendir(folder)) {
        signal?.throwIfAborted();
        // What no key can name (the marker, temporaries, lost+found) is not an object.
        if (!isKeySegment(entry.name) || prefix + entry.name === RESERVED_KEY) continue;
        const path = join(folder, entry.name);
        if (entry.isSymbolicLink()) throw refuseLink(path, this.#name);
        if (entry.isDirectory()) yield* this.#walk(path, `${prefix}${entry.name}/`, signal);
        if (!entry.isFile()) continue;
        const found = await lstat(path).catch(ignore('ENOENT'));
        if (found !== undefined) yield { key: prefix + entry.name, sizeBytes: found.size };
      }
    } catch (cause) {
      signal?.throwIfAborted();
      // Removed while we were on the way.
      if (nativeCode(cause) !== 'ENOENT') throw this.#error(cause, prefix);
    }
  }

  #error(cause: unknown, key: string): CofreError {
    return toDirectoryError(cause, `the destination ${this.#name} failed at ${key === '' ? this.url : key}`);
  }
}

function ignore(...codes: readonly string[]): (error: unknown) => undefined {
  return (error) => {
    if (!codes.includes(nativeCode(error) ?? '')) throw error;
    return undefined;
  };
}
