import { posix } from 'node:path';
import { Readable } from 'node:stream';

import type { Stats } from 'ssh2';

import { isAliasKey } from '../../config/alias.ts';
import type { SftpConfig } from '../../config/destination-schema.ts';
import { CofreError } from '../../errors/error.ts';
import type {
  Body,
  CallOptions,
  Destination,
  GetOptions,
  PutOptions,
  StoreMode,
  StoredObject,
} from '../destination.ts';
import { endOnAbort } from '../end-on-abort.ts';
import { RESERVED_KEY, isKeySegment, requireAliasKey, splitKey, splitPrefix } from '../key.ts';
import { partOf } from '../range.ts';
import { refuseLink } from '../symbolic-link.ts';
import { toSftpError } from './errors.ts';
import { closeLater, describe, entriesOf, makeFolder, openFile, removeIfEmpty, removeTree, unlink } from './files.ts';
import { requireMarker, requireMarkerStands } from './marker.ts';
import { requireReplacing } from './publish.ts';
import { storeObject } from './put.ts';
import { PATIENT, SftpSession, orAborted, type SessionLimits } from './session.ts';
import { explainFailure } from './room.ts';
import { leftoversIn, removeAbandoned } from './temporary.ts';
import { BLOCK_BYTES, readBlocks, type OpenFile } from './transfer.ts';

export interface SftpLimits extends SessionLimits {
  /** For how long what a put of another machine has left must stand still to be nobody's. */
  readonly watchMs: number;
}

/** From so many bytes on, a second channel is worth the turns that it takes to open it; where the way is as long as `FAR_MS`. */
const LONG_BYTES = 16 * 1024 * 1024;
/** Until the server answers. Nearer than that, one channel carries 200 MB/s, and two cost more than they bring. */
const FAR_MS = 5;

const LIMITS: SftpLimits = { ...PATIENT, watchMs: 20_000 };

/** One object, and where it lies on the server. */
interface Spot {
  readonly key: string;
  readonly segments: readonly string[];
  readonly path: string;
}

/**
 * A folder on an SFTP server as a destination. Every call first looks for the marker of `prepareFolder`. Symbolic links below
 * the folder are refused. One connection, opened at the first call and opened again after it was lost.
 */
export class SftpDestination implements Destination {
  readonly url: string;
  readonly #name: string;
  readonly #config: SftpConfig;
  readonly #limits: SftpLimits;
  #session: Promise<SftpSession> | undefined;
  #asksForTwo = true;

  constructor(name: string, config: SftpConfig, limits: SftpLimits = LIMITS) {
    this.#name = name;
    this.#config = config;
    this.#limits = limits;
    this.url = `sftp://${config.user}@${config.host}:${config.port}${config.path}`;
  }

  async put(key: string, body: Body, options: PutOptions = {}): Promise<StoredObject> {
    return await this.#store(key, body, options, 'create');
  }

  async replace(key: string, body: Body, options: PutOptions = {}): Promise<StoredObject> {
    requireAliasKey(key);
    return await this.#store(key, body, options, 'replace');
  }

  async #store(key: string, body: Body, options: PutOptions, mode: StoreMode): Promise<StoredObject> {
    const spot = this.#spot(key);
    return await this.#run(key, options, async (session) => {
      if (mode === 'replace') await requireReplacing(session, this.#name);
      await this.#makeFolders(session, spot, options.signal).catch(async (error: unknown) => {
        throw await explainFailure(session, this.#config.path, body.sizeBytes, error);
      });
      await storeObject(session, spot.path, body, this.#limits.watchMs, options, mode).catch(async (error: unknown) => {
        // Nobody may come back for the folders: a host that was frozen here finds its attempt removed when it wakes up.
        if (!session.lost.aborted)
          await this.#removeEmptyFolders(session, spot.segments.slice(0, -1)).catch(() => undefined);
        throw error;
      });
      return { key, sizeBytes: body.sizeBytes };
    });
  }

  async get(key: string, options: GetOptions = {}): Promise<Readable> {
    const asked = this.#asksForTwo;
    try {
      return await this.#open(key, options);
    } catch (error) {
      if (this.#asksForTwo === asked) throw error;
      return await this.#open(key, options);
    }
  }

  async #open(key: string, options: GetOptions): Promise<Readable> {
    const spot = this.#spot(key);
    const { signal } = options;
    return await this.#run(key, options, async (session) => {
      const found = await this.#find(session, spot, signal);
      let part = partOf(key, found.size, options.range);
      const askedAt = performance.now();
      const files: [OpenFile, ...OpenFile[]] = [{ session, handle: await openFile(session, spot.path, 'r', signal) }];
      const isFar = performance.now() - askedAt > FAR_MS;
      const closeFiles = (): void => files.forEach((file) => closeLater(file.session, file.handle));
      try {
        // An alias may have been replaced since it was found, and between two times that it is opened.
        if (isAliasKey(key)) {
          const [{ handle }] = files;
          const opened = await describe(session, handle, signal);
          part = partOf(key, opened.size, options.range);
        } else if (isFar && part.length >= LONG_BYTES && this.#asksForTwo) {
          files.push(...(await this.#openBeside(files[0], spot, signal)));
        }
      } catch (error) {
        closeFiles();
        throw error;
      }
      const { start, length } = part;
      const stream = Readable.from(this.#read(files, key, start, start + length, signal), {
        objectMode: false,
        highWaterMark: BLOCK_BYTES,
      });
      stream.once('close', closeFiles);
      return endOnAbort(stream, signal);
    });
  }

  /**
   * The object once more, on another channel: one alone leaves a long way idle, because `ssh2` tells the server of room only
   * when half of a channel's window is used up. None, where the server gives but one; and where another file has come to stand
   * there meanwhile, as what another job replaces.
   */
  async #openBeside(first: OpenFile, { path }: Spot, signal?: AbortSignal): Promise<OpenFile[]> {
    const { session } = first;
    const beside = await orAborted(session.beside(), signal);
    // Some servers may end the connection of whoever asks: the next one does not.
    if (session.lost.aborted) {
      this.#asksForTwo = false;
      throw session.lost.reason;
    }
    if (beside === undefined) return [];
    const second = { session: beside, handle: await openFile(beside, path, 'r', signal) };
    if (await isSameFile(first, second, signal)) return [second];
    closeLater(second.session, second.handle);
    return [];
  }

  async stat(key: string, options: CallOptions = {}): Promise<StoredObject> {
    const spot = this.#spot(key);
    return await this.#run(key, options, async (session) => {
      const { size } = await this.#find(session, spot, options.signal);
      return { key, sizeBytes: size };
    });
  }

  async *list(prefix: string, options: CallOptions = {}): AsyncIterable<StoredObject> {
    const segments = splitPrefix(prefix);
    const { signal } = options;
    const session = await this.#run(prefix, options, (opened) => Promise.resolve(opened));
    try {
      if (await this.#isFolder(session, segments, signal))
        yield* this.#walk(session, this.#path(segments), prefix, signal);
      // A volume that went away in the middle must not look like one that lost its objects.
      await requireMarkerStands(session, this.#config.path, signal);
    } catch (cause) {
      throw this.#error(cause, prefix);
    }
  }

  async remove(key: string, options: CallOptions = {}): Promise<void> {
    const { segments, path } = this.#spot(key);
    const { signal } = options;
    await this.#run(key, options, async (session) => {
      const folders = segments.slice(0, -1);
      const found = (await this.#isFolder(session, folders, signal)) ? await session.look(path, signal) : undefined;
      if (found !== undefined && !found.isDirectory()) {
        await unlink(session, path, signal);
        const leftovers = await leftoversIn(session, posix.dirname(path), signal);
        await removeAbandoned(session, leftovers, found.mtime, { signal });
      }
      await this.#removeEmptyFolders(session, folders, signal);
    });
  }

  async discard(prefix: string, options: CallOptions = {}): Promise<void> {
    const segments = splitPrefix(prefix);
    const { signal } = options;
    if (segments.length === 0) throw new CofreError('invalid-key', 'refuses to discard the whole destination');
    await this.#run(prefix, options, async (session) => {
      if (await this.#isFolder(session, segments, signal)) await removeTree(session, this.#path(segments), signal);
      await this.#removeEmptyFolders(session, segments.slice(0, -1), signal);
    });
  }

  async identity(): Promise<string> {
    return await this.#run('', {}, (session) => requireMarker(session, this.#config.path));
  }

  async close(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    await session?.then(
      (opened) => opened.close(),
      () => undefined,
    );
  }

  async #run<T>(key: string, { signal }: CallOptions, work: (session: SftpSession) => Promise<T>): Promise<T> {
    signal?.throwIfAborted();
    try {
      const isNew = this.#session === undefined;
      const session = await orAborted(this.#connected(), signal);
      if (!isNew) await requireMarkerStands(session, this.#config.path, signal);
      return await work(session);
    } catch (cause) {
      throw this.#error(cause, key);
    }
  }

  /** The one session of this handle; another one once it is lost. Without a signal, because several calls may wait for it. */
  #connected(): Promise<SftpSession> {
    if (this.#session !== undefined) return this.#session;
    const opening = SftpSession.open(this.#config, this.#limits).then(async (session) => {
      session.lost.addEventListener('abort', forget);
      try {
        await requireMarker(session, this.#config.path);
        return session;
      } catch (error) {
        await session.close();
        throw error;
      }
    });
    const forget = (): void => {
      if (this.#session === opening) this.#session = undefined;
    };
    opening.catch(forget);
    return (this.#session = opening);
  }

  #spot(key: string): Spot {
    const segments = splitKey(key);
    return { key, segments, path: this.#path(segments) };
  }

  #path(segments: readonly string[]): string {
    return posix.join(this.#config.path, ...segments);
  }

  /** What stands at each folder of a key, from the top down, asked for all at once. */
  async #lookAlong(
    session: SftpSession,
    segments: readonly string[],
    signal?: AbortSignal,
  ): Promise<(Stats | undefined)[]> {
    const paths = segments.map((_, index) => this.#path(segments.slice(0, index + 1)));
    const found = await Promise.all(paths.map((path) => session.look(path, signal)));
    const link = found.findIndex((one) => one?.isSymbolicLink() === true);
    if (link !== -1) throw refuseLink(paths[link] ?? '', this.#name);
    return found;
  }

  async #isFolder(session: SftpSession, segments: readonly string[], signal?: AbortSignal): Promise<boolean> {
    return (await this.#lookAlong(session, segments, signal)).every((one) => one?.isDirectory() === true);
  }

  async #makeFolders(session: SftpSession, { segments }: Spot, signal?: AbortSignal): Promise<void> {
    const found = await this.#lookAlong(session, segments.slice(0, -1), signal);
    for (const [index, one] of found.entries()) {
      const path = this.#path(segments.slice(0, index + 1));
      const stands = one ?? (await makeFolder(session, path, signal));
      if (stands?.isSymbolicLink() === true) throw refuseLink(path, this.#name);
      if (stands !== undefined && !stands.isDirectory())
        throw new CofreError('invalid-key', `${path} is an object and cannot be a folder`);
    }
  }

  /** The object itself. @throws CofreError `not-found`. */
  async #find(session: SftpSession, { key, segments, path }: Spot, signal?: AbortSignal): Promise<Stats> {
    const [last] = (await this.#lookAlong(session, segments, signal)).slice(-1);
    if (last?.isFile() === true) return last;
    // Not there, or not there any more because the volume went away?
    await requireMarkerStands(session, this.#config.path, signal);
    throw new CofreError('not-found', `there is no ${key} in ${this.#name} (${posix.dirname(path)})`);
  }

  async *#read(
    files: readonly [OpenFile, ...OpenFile[]],
    key: string,
    start: number,
    end: number,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Buffer> {
    let position = start;
    try {
      for await (const block of readBlocks(files, start, end, signal)) {
        position += block.length;
        yield block;
      }
    } catch (cause) {
      throw this.#error(cause, key);
    }
    if (position < end)
      throw new CofreError('destination-unavailable', `${key} in ${this.#name} ended at ${position} of ${end} bytes`);
  }

  async *#walk(
    session: SftpSession,
    folder: string,
    prefix: string,
    signal?: AbortSignal,
  ): AsyncIterable<StoredObject> {
    for await (const { filename, attrs } of entriesOf(session, folder, signal)) {
      // What no key can name (the marker, temporaries, lost+found) is not an object.
      if (!isKeySegment(filename) || prefix + filename === RESERVED_KEY) continue;
      const path = posix.join(folder, filename);
      // Not every server tells in a listing what an entry is.
      const found = attrs.isFile() || attrs.isDirectory() ? attrs : await session.look(path, signal);
      if (found?.isSymbolicLink() === true) throw refuseLink(path, this.#name);
      if (found?.isDirectory() === true) yield* this.#walk(session, path, `${prefix}${filename}/`, signal);
      if (found?.isFile() === true) yield { key: prefix + filename, sizeBytes: found.size };
    }
  }

  /**
   * Removes the folders that a removal left empty. A put that loses its folder so tries again. Goes on above those that are gone: a
   * removal that was killed here has left the others.
   */
  async #removeEmptyFolders(session: SftpSession, segments: readonly string[], signal?: AbortSignal): Promise<void> {
    for (let depth = segments.length; depth > 0; depth -= 1)
      if (!(await removeIfEmpty(session, this.#path(segments.slice(0, depth)), signal))) return;
  }

  #error(cause: unknown, key: string): unknown {
    return toSftpError(cause, `the destination ${this.#name} failed at ${key === '' ? this.url : key}`);
  }
}

/** As far as the protocol tells: it knows no numbers of files. */
async function isSameFile(one: OpenFile, other: OpenFile, signal: AbortSignal | undefined): Promise<boolean> {
  const [a, b] = await Promise.all([one, other].map(({ session, handle }) => describe(session, handle, signal)));
  return a?.size === b?.size && a?.mtime === b?.mtime;
}
