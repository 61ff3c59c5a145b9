import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

import { isAliasKey } from '../../config/alias.ts';
import type { GcsConfig } from '../../config/destination-schema.ts';
import { CofreError } from '../../errors/error.ts';
import { readWhole } from '../body-reader.ts';
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
import { ListProof } from '../list-proof.ts';
import { passOn, type Inspection } from '../pass-on.ts';
import { partOf } from '../range.ts';
import { falseYes, isSame, isStored } from '../stored.ts';
import { GcsBucket, type BucketOptions, type ObjectResource } from './bucket.ts';
import { Crc32c } from './checksum.ts';
import { toGcsError } from './errors.ts';
import { createObject } from './create-object.ts';
import { requireGcsMarker } from './place.ts';
import { SessionFiles } from './session-files.ts';
import { endSession } from './session.ts';
import { uploadInChunks, type Uploaded } from './upload.ts';

/** What is sent in one request; a smaller object in the first. A multiple of what the service keeps in one piece. */
const CHUNK_BYTES = 16 * 1024 * 1024;
/** A service may show a new object a little late; afterwards it is taken as lost. */
const SHOWN_WITHIN_MS = 10_000;
const LOOK_AGAIN_MS = 250;
/** How often an object is opened that is replaced each time. */
const OPENS = 5;

export interface GcsOptions extends BucketOptions {
  /** The folder of this host, the worker's alone, where uploads that were interrupted are remembered. */
  readonly uploads?: string | undefined;
  readonly chunkBytes?: number | undefined;
}

/**
 * A bucket at Google Cloud Storage, or a folder in one, as a destination. New objects are stored on the condition that there
 * is none of the name (generation 0). A small object goes in one request, a large one in a resumable session that an
 * interrupted put goes on with.
 */
export class GcsDestination implements Destination {
  readonly url: string;
  readonly #name: string;
  readonly #bucket: GcsBucket;
  readonly #sessions: SessionFiles;
  readonly #chunkBytes: number;
  #marker: Promise<string> | undefined;

  constructor(name: string, config: GcsConfig, { uploads, chunkBytes = CHUNK_BYTES, ...options }: GcsOptions = {}) {
    this.#name = name;
    this.#bucket = new GcsBucket(config, options);
    this.#sessions = new SessionFiles(uploads, this.#bucket);
    this.#chunkBytes = chunkBytes;
    this.url = this.#bucket.url;
  }

  async put(key: string, body: Body, options: PutOptions = {}): Promise<StoredObject> {
    return await this.#store(key, body, options, 'create');
  }

  async replace(key: string, body: Body, options: PutOptions = {}): Promise<StoredObject> {
    requireAliasKey(key);
    return await this.#store(key, body, options, 'replace');
  }

  async #store(key: string, body: Body, options: PutOptions, mode: StoreMode): Promise<StoredObject> {
    const object = await this.#begin(key, options);
    const stored = { key, sizeBytes: body.sizeBytes };
    const isLarge = body.sizeBytes > this.#chunkBytes;
    if (await isSame(this.#isStored(key, body, options), mode)) {
      // The put that stored it may have been killed before it forgot its session.
      if (isLarge) await this.#sessions.forget(object);
      return stored;
    }
    let mayBeStored = !isLarge;
    const onLast = (): void => void (mayBeStored = true);
    let uploaded: Uploaded;
    try {
      uploaded = isLarge
        ? await uploadInChunks(this.#bucket, this.#sessions, object, body, this.#chunkBytes, options, onLast, mode)
        : await this.#putAtOnce(object, body, options, mode);
    } catch (error) {
      options.signal?.throwIfAborted();
      if (!(error instanceof CofreError) || error.code === 'bad-content' || !mayBeStored) throw error;
      // The reply may have been lost, or another writer was faster: what is there decides, if it can be seen.
      const isStored = await isSame(this.#isStored(key, body, options), mode).catch((found: unknown) => {
        throw found instanceof CofreError && found.code === 'already-exists' ? found : error;
      });
      if (!isStored) throw error;
      await this.#sessions.forget(object);
      return stored;
    }
    await this.#confirm(key, body, uploaded, options, mode);
    options.onProgress?.(body.sizeBytes);
    return stored;
  }

  async get(key: string, options: GetOptions = {}): Promise<Readable> {
    const object = await this.#begin(key, options);
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.#open(key, object, options);
      } catch (error) {
        // An alias may be replaced after it was described, and its old generation is gone then.
        const isGone = error instanceof CofreError && error.code === 'not-found' && isAliasKey(key);
        if (!isGone || tries === OPENS || (await this.#bucket.describe(object, options.signal)) === undefined)
          throw error;
      }
    }
  }

  async #open(key: string, object: string, options: GetOptions): Promise<Readable> {
    const { range, signal } = options;
    const found = await this.#describe(key, options);
    const { generation } = found;
    const sizeBytes = Number(found.size ?? 0);
    const { start, length } = partOf(key, sizeBytes, range);
    const isWhole = length === sizeBytes;
    const { body } = await this.#bucket.ask(`to give ${key}`, {
      method: 'GET',
      url: this.#bucket.objectUrl(object, { alt: 'media', ...(generation === undefined ? {} : { generation }) }),
      headers: isWhole ? {} : { range: `bytes=${start}-${start + length - 1}` },
      signal,
    });
    const toError = (cause: unknown): Error => toGcsError(cause, `${this.url} failed to give all of ${key}`);
    const inspection = isWhole && found.crc32c !== undefined ? comparing(key, found.crc32c) : undefined;
    return passOn(body, length, toError, signal, inspection);
  }

  async stat(key: string, options: CallOptions = {}): Promise<StoredObject> {
    await this.#begin(key, options);
    const { size } = await this.#describe(key, options);
    return { key, sizeBytes: Number(size ?? 0) };
  }

  async *list(prefix: string, options: CallOptions = {}): AsyncIterable<StoredObject> {
    splitPrefix(prefix);
    await this.#ready(options);
    const proof = new ListProof(this.url, prefix);
    let after: string | undefined;
    do {
      const { items, next } = await this.#bucket.listPage(this.#bucket.nameOf(prefix), after, options.signal);
      for (const { name = '', size = 0 } of items) {
        const key = this.#bucket.keyOf(name);
        proof.saw(key);
        // What no key can name (the marker, what consoles make as folders) is not an object.
        if (key !== RESERVED_KEY && key.split('/').every(isKeySegment)) yield { key, sizeBytes: Number(size) };
      }
      proof.turn(next);
      after = next;
    } while (after !== undefined);
    proof.end();
  }

  async remove(key: string, options: CallOptions = {}): Promise<void> {
    const object = await this.#begin(key, options);
    await this.#bucket.remove(object, options.signal);
  }

  async discard(prefix: string, options: CallOptions = {}): Promise<void> {
    if (splitPrefix(prefix).length === 0) {
      throw new CofreError('invalid-key', 'refuses to discard the whole destination');
    }
    await this.#ready(options);
    // First, so that none of them becomes an object behind the list. Those of other hosts nobody can find.
    for (const { name, address } of await this.#sessions.below(this.#bucket.nameOf(prefix))) {
      await this.#sessions.forget(name);
      await endSession(this.#bucket, name, address, options.signal);
    }
    for await (const { key } of this.list(prefix, options)) {
      await this.#bucket.remove(this.#bucket.nameOf(key), options.signal);
    }
  }

  async identity(): Promise<string> {
    return await this.#ready({});
  }

  async close(): Promise<void> {
    this.#bucket.close();
  }

  /** Gives the object's name in the bucket. */
  async #begin(key: string, options: CallOptions): Promise<string> {
    splitKey(key);
    await this.#ready(options);
    return this.#bucket.nameOf(key);
  }

  /** Once for each handle: the bucket is there, and is this installation's destination. */
  async #ready({ signal }: CallOptions): Promise<string> {
    signal?.throwIfAborted();
    this.#marker ??= requireGcsMarker(this.#bucket, this.#name, signal);
    try {
      return await this.#marker;
    } catch (error) {
      this.#marker = undefined;
      throw error;
    }
  }

  async #describe(key: string, { signal }: CallOptions): Promise<ObjectResource> {
    const found = await this.#bucket.describe(this.#bucket.nameOf(key), signal);
    if (found !== undefined) return found;
    throw new CofreError('not-found', `there is no ${key} in ${this.url}`);
  }

  /** Compares what is stored with `body`, by reading it. @throws CofreError `already-exists` when it is something else. */
  async #isStored(key: string, body: Body, options: PutOptions): Promise<boolean> {
    const found = await this.#bucket.describe(this.#bucket.nameOf(key), options.signal);
    return await isStored(this, { key, sizeBytes: found && Number(found.size) }, body, options);
  }

  async #putAtOnce(object: string, body: Body, { signal, pace }: PutOptions, mode: StoreMode): Promise<Uploaded> {
    const bytes = await readWhole(body, signal);
    await pace?.(bytes.length);
    return await createObject(this.#bucket, object, bytes, mode, signal);
  }

  /**
   * A service that says yes and has something else is found out here, and what it stored is taken away again. What it said
   * is not enough: it is asked what it shows.
   */
  async #confirm(
    key: string,
    body: Body,
    { object, crc32c }: Uploaded,
    { signal }: PutOptions,
    mode: StoreMode,
  ): Promise<void> {
    const name = this.#bucket.nameOf(key);
    await this.#sessions.forget(name);
    const deadline = Date.now() + SHOWN_WITHIN_MS;
    const isNew = ({ size, crc32c: sum }: ObjectResource): boolean =>
      Number(size) === body.sizeBytes && (sum === undefined || sum === crc32c);
    let found = await this.#bucket.describe(name, signal);
    // What was replaced may be shown for a moment more.
    while ((found === undefined || (mode === 'replace' && !isNew(found))) && Date.now() < deadline) {
      await sleep(LOOK_AGAIN_MS, undefined, signal === undefined ? {} : { signal });
      found = await this.#bucket.describe(name, signal);
    }
    if (found === undefined) throw falseYes(this.url, key, 'there is none');
    if (isNew(object) && isNew(found) && found.crc32c !== undefined) return;
    // Ours: whatever else has come to stand there is not this put's to remove.
    if (mode === 'create') await this.#bucket.remove(name, signal, object.generation ?? found.generation);
    throw falseYes(this.url, key, `it has ${found.size ?? 'no'} of ${body.sizeBytes} bytes, or others`);
  }
}

/** Fails a read at its end when its bytes do not have the checksum that the service keeps of them. */
function comparing(key: string, crc32c: string): Inspection {
  const crc = new Crc32c();
  return {
    update: (chunk) => crc.update(chunk),
    problem: () =>
      crc.base64 === crc32c
        ? undefined
        : new CofreError('bad-content', `what came of ${key} has another checksum than what is stored`),
  };
}
