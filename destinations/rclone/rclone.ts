import { posix } from 'node:path';
import { Readable } from 'node:stream';

import type { RcloneConfig } from '../../config/destination-schema.ts';
import { CofreError } from '../../errors/error.ts';
import type { Body, CallOptions, Destination, GetOptions, PutOptions, StoredObject } from '../destination.ts';
import { endOnAbort } from '../end-on-abort.ts';
import { RESERVED_KEY, isKeySegment, splitKey, splitPrefix } from '../key.ts';
import { partOf } from '../range.ts';
import { filesBelow } from './entries.ts';
import { requireMarker } from './marker.ts';
import { look, removeFile, requireOne, storeObject } from './put.ts';
import { readObject } from './read.ts';
import { RcloneRemote } from './remote.ts';

/** Of one name, where the service allows several. */
const MOST_DUPLICATES = 20;

/**
 * A folder of any remote of the operator's rclone as a destination, made for Google Drive and Mega. rclone has neither
 * conditions nor uploads that go on: what that means is said at `storeObject` and in docs/rclone.md.
 */
export class RcloneDestination implements Destination {
  readonly url: string;
  readonly #name: string;
  readonly #remote: RcloneRemote;
  #marker: Promise<string> | undefined;

  constructor(name: string, config: RcloneConfig) {
    this.#name = name;
    this.#remote = new RcloneRemote(config);
    this.url = this.#remote.url;
  }

  async put(key: string, body: Body, options: PutOptions = {}): Promise<StoredObject> {
    splitKey(key);
    await this.#ready(options);
    await storeObject(this.#remote, key, body, options);
    return { key, sizeBytes: body.sizeBytes };
  }

  /** `move` of rclone removes what it replaces first on some services, and leaves both on others. */
  replace(key: string): Promise<StoredObject> {
    const message = `${this.#name} is a remote of rclone and cannot replace ${key} so that readers see one of them whole`;
    return Promise.reject(new CofreError('refused', message, { hint: `take ${this.#name} out of copies.alias` }));
  }

  async get(key: string, options: GetOptions = {}): Promise<Readable> {
    const { sizeBytes } = await this.stat(key, options);
    const { signal } = options;
    const part = partOf(key, sizeBytes, options.range);
    return endOnAbort(Readable.from(readObject(this.#remote, key, part, signal), { objectMode: false }), signal);
  }

  async stat(key: string, options: CallOptions = {}): Promise<StoredObject> {
    splitKey(key);
    await this.#ready(options);
    const { objects } = await look(this.#remote, key, options.signal);
    const [object] = objects;
    if (object !== undefined) {
      await requireOne(this.#remote, key, objects, options.signal);
      return { key, sizeBytes: object.sizeBytes };
    }
    // Not there, or not there any more because all of it is gone?
    await this.#readyStill(options);
    throw new CofreError('not-found', `there is no ${key} in ${this.#name} (${this.url})`);
  }

  async *list(prefix: string, options: CallOptions = {}): AsyncIterable<StoredObject> {
    splitPrefix(prefix);
    await this.#ready(options);
    // Files of one name, which only a service can have that tells them apart by ids.
    const seen = new Set<string>();
    try {
      for await (const { path, sizeBytes, id } of filesBelow(this.#remote, prefix.slice(0, -1), options.signal)) {
        const key = prefix + path;
        // What no key can name (the marker, temporaries, what a service makes of its own documents) is not an object.
        if (key === RESERVED_KEY || !key.split('/').every(isKeySegment) || seen.has(key)) continue;
        if (id !== undefined) seen.add(key);
        yield { key, sizeBytes };
      }
    } catch (error) {
      if (!(error instanceof CofreError) || error.code !== 'not-found') throw error;
    }
    // A volume that went away in the middle must not look like one that lost its objects.
    await this.#readyStill(options);
  }

  async remove(key: string, options: CallOptions = {}): Promise<void> {
    const segments = splitKey(key);
    await this.#ready(options);
    for (let times = 0; times < MOST_DUPLICATES; times += 1)
      if ((await removeFile(this.#remote, key, options.signal)) === 'missing') break;
    await this.#removeEmptyFolders(segments.slice(0, -1), options);
  }

  async discard(prefix: string, options: CallOptions = {}): Promise<void> {
    const segments = splitPrefix(prefix);
    if (segments.length === 0) throw new CofreError('invalid-key', 'refuses to discard the whole destination');
    await this.#ready(options);
    const folder = segments.join('/');
    await this.#remote
      .ask(`to discard ${folder}`, ['purge', this.#remote.nameOf(folder)], options.signal)
      .catch(ignore('not-found'));
    await this.#removeEmptyFolders(segments.slice(0, -1), options);
  }

  async identity(): Promise<string> {
    return await this.#ready({});
  }

  async close(): Promise<void> {
    // Nothing is kept open.
  }

  /** Once for each handle: the folder is there, and is this installation's destination. */
  async #ready({ signal }: CallOptions): Promise<string> {
    signal?.throwIfAborted();
    this.#marker ??= requireMarker(this.#remote, signal);
    try {
      return await this.#marker;
    } catch (error) {
      this.#marker = undefined;
      throw error;
    }
  }

  async #readyStill(options: CallOptions): Promise<void> {
    this.#marker = undefined;
    await this.#ready(options);
  }

  /**
   * Removes the folders that a removal left empty, up to that of the environment, which stays: a service that looks first and
   * removes then could take another put's with it. Only the run that works on a backup writes into the backup's folder.
   */
  async #removeEmptyFolders(segments: readonly string[], { signal }: CallOptions): Promise<void> {
    for (let depth = segments.length; depth > 1; depth -= 1) {
      const folder = posix.join(...segments.slice(0, depth));
      try {
        await this.#remote.ask(`to remove ${folder}`, ['rmdir', this.#remote.nameOf(folder)], signal);
      } catch (error) {
        // An empty folder is not an object. Goes on above those that are gone: a removal that was killed here left the others.
        if (!(error instanceof CofreError)) throw error;
        if (error.code !== 'not-found') return;
      }
    }
  }
}

function ignore(code: string): (error: unknown) => void {
  return (error) => {
    if (!(error instanceof CofreError) || error.code !== code) throw error;
  };
}
