import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  paginateListObjectsV2,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { crc32 } from '@node-rs/crc32';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

import type { S3Config } from '../../config/destination-schema.ts';
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
import { passOn } from '../pass-on.ts';
import { falseYes, isSame, isStored, unlessMissing } from '../stored.ts';
import { S3Bucket, type BucketOptions } from './bucket.ts';
import { checksumOf, crc32InBase64 } from './checksum.ts';
import { toS3Error } from './errors.ts';
import { requireS3Marker } from './place.ts';
import { endUploads } from './unfinished.ts';
import { onlyIf, partBytesFor, uploadInParts } from './upload.ts';

/** A service may show a new object a little late; afterwards it is taken as lost. */
const SHOWN_WITHIN_MS = 10_000;
const LOOK_AGAIN_MS = 250;

/**
 * A bucket as a destination, or a folder in one, at AWS or at a service like it. New objects are stored on the condition
 * that there is none of the name; before and after, the driver looks for itself. A small object goes in one request, a
 * large one in parts, and an interrupted upload goes on from the parts that the service has.
 */
export class S3Destination implements Destination {
  readonly url: string;
  readonly #name: string;
  readonly #bucket: S3Bucket;
  #marker: Promise<string> | undefined;

  constructor(name: string, config: S3Config, options: BucketOptions = {}) {
    this.#name = name;
    this.#bucket = new S3Bucket(config, options);
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
    if (await isSame(this.#isStored(key, body, options), mode)) return stored;
    let wholeCrc: number;
    try {
      wholeCrc =
        body.sizeBytes <= partBytesFor(body.sizeBytes, this.#bucket.config.partSize)
          ? await this.#putAtOnce(object, body, options, mode)
          : await uploadInParts(this.#bucket, object, body, options, mode);
    } catch (error) {
      options.signal?.throwIfAborted();
      if (!(error instanceof CofreError) || error.code === 'bad-content') throw error;
      // The reply may have been lost, or another writer was faster: what is there decides, if it can be seen.
      const isStored = await isSame(this.#isStored(key, body, options), mode).catch((found: unknown) => {
        throw found instanceof CofreError && found.code === 'already-exists' ? found : error;
      });
      if (isStored) return stored;
      throw error;
    }
    await this.#confirm(key, body, wholeCrc, options, mode);
    return stored;
  }

  async get(key: string, options: GetOptions = {}): Promise<Readable> {
    const object = await this.#begin(key, options);
    const { range, signal } = options;
    if (range !== undefined && !isRange(range)) throw noSuchRange(key, range);
    const wanted = range === undefined ? {} : { Range: `bytes=${range.start}-${range.start + range.length - 1}` };
    const { Body: body, ContentLength: length } = await this.#bucket.ask(`to give ${key}`, signal, (client, call) =>
      client.send(new GetObjectCommand({ Bucket: this.#bucket.bucket, Key: object, ...wanted }), call),
    );
    if (!(body instanceof Readable)) throw new CofreError('destination-unavailable', `${this.url} gave no ${key}`);
    return passOn(body, length, (cause) => toS3Error(cause, `${this.url} failed to give all of ${key}`), signal);
  }

  async stat(key: string, options: CallOptions = {}): Promise<StoredObject> {
    await this.#begin(key, options);
    const { sizeBytes } = await this.#head(key, options);
    return { key, sizeBytes };
  }

  async *list(prefix: string, options: CallOptions = {}): AsyncIterable<StoredObject> {
    splitPrefix(prefix);
    await this.#ready(options);
    const input = { Bucket: this.#bucket.bucket, Prefix: this.#bucket.nameOf(prefix) };
    const pages = paginateListObjectsV2({ client: this.#bucket.client, pageSize: this.#bucket.pageSize }, input);
    const proof = new ListProof(this.url, prefix);
    for (;;) {
      const page = await this.#bucket.ask(`to list ${prefix}`, options.signal, () => pages.next());
      if (page.done === true) return proof.end();
      for (const { Key: name = '', Size: sizeBytes = 0 } of page.value.Contents ?? []) {
        const key = this.#bucket.keyOf(name);
        proof.saw(key);
        // What no key can name (the marker, a service's own signs for folders) is not an object.
        if (key !== RESERVED_KEY && key.split('/').every(isKeySegment)) yield { key, sizeBytes };
      }
      proof.turn(page.value.NextContinuationToken);
    }
  }

  async remove(key: string, options: CallOptions = {}): Promise<void> {
    const object = await this.#begin(key, options);
    await this.#delete(object, options);
  }

  async discard(prefix: string, options: CallOptions = {}): Promise<void> {
    if (splitPrefix(prefix).length === 0) {
      throw new CofreError('invalid-key', 'refuses to discard the whole destination');
    }
    await this.#ready(options);
    // First, so that none of them becomes an object behind the list.
    await endUploads(this.#bucket, this.#bucket.nameOf(prefix), options.signal);
    for await (const { key } of this.list(prefix, options)) await this.#delete(this.#bucket.nameOf(key), options);
  }

  async identity(): Promise<string> {
    return await this.#ready({});
  }

  async close(): Promise<void> {
    this.#bucket.client.destroy();
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
    this.#marker ??= requireS3Marker(this.#bucket, this.#name, signal);
    try {
      return await this.#marker;
    } catch (error) {
      this.#marker = undefined;
      throw error;
    }
  }

  async #head(key: string, { signal }: CallOptions): Promise<{ sizeBytes: number; crc: string | undefined }> {
    const found = await this.#bucket.ask(`to describe ${key}`, signal, (client, call) =>
      client.send(
        new HeadObjectCommand({
          Bucket: this.#bucket.bucket,
          Key: this.#bucket.nameOf(key),
          ...(this.#bucket.config.checksum === 'crc32' ? { ChecksumMode: 'ENABLED' } : {}),
        }),
        call,
      ),
    );
    const crc = found.ChecksumType === 'COMPOSITE' ? undefined : found.ChecksumCRC32;
    return { sizeBytes: found.ContentLength ?? 0, crc };
  }

  /** Compares what is stored with `body`, by reading it. @throws CofreError `already-exists` when it is something else. */
  async #isStored(key: string, body: Body, options: PutOptions): Promise<boolean> {
    const found = await unlessMissing(this.#head(key, options));
    return await isStored(this, { key, sizeBytes: found?.sizeBytes }, body, options);
  }

  async #putAtOnce(
    object: string,
    body: Body,
    { signal, onProgress, pace }: PutOptions,
    mode: StoreMode,
  ): Promise<number> {
    const bytes = await readWhole(body, signal);
    await pace?.(bytes.length);
    await this.#bucket.ask(`to store ${object}`, signal, (client, call) =>
      client.send(
        new PutObjectCommand({
          Bucket: this.#bucket.bucket,
          Key: object,
          Body: bytes,
          ContentLength: bytes.length,
          ...onlyIf(mode),
          ...checksumOf(bytes, this.#bucket.config.checksum),
          ...this.#bucket.newObject(),
        }),
        call,
      ),
    );
    onProgress?.(bytes.length);
    return crc32(bytes);
  }

  /**
   * A service that says yes and stores something else is found out here, and what it stored is taken away again; but not
   * where it may still show what was replaced.
   */
  async #confirm(key: string, body: Body, wholeCrc: number, options: PutOptions, mode: StoreMode): Promise<void> {
    const deadline = Date.now() + SHOWN_WITHIN_MS;
    const look = async (): Promise<{ sizeBytes: number; isNew: boolean } | undefined> => {
      const found = await unlessMissing(this.#head(key, options));
      if (found === undefined) return undefined;
      const sameCrc = found.crc === undefined || found.crc === crc32InBase64(wholeCrc);
      return { sizeBytes: found.sizeBytes, isNew: found.sizeBytes === body.sizeBytes && sameCrc };
    };
    let found = await look();
    while ((found === undefined || (mode === 'replace' && !found.isNew)) && Date.now() < deadline) {
      await sleep(LOOK_AGAIN_MS, undefined, options.signal === undefined ? {} : { signal: options.signal });
      found = await look();
    }
    if (found === undefined) throw falseYes(this.url, key, 'there is none');
    if (found.isNew) return;
    if (mode === 'create') await this.#delete(this.#bucket.nameOf(key), options);
    throw falseYes(this.url, key, `it has ${found.sizeBytes} of ${body.sizeBytes} bytes, or others`);
  }

  async #delete(object: string, { signal }: CallOptions): Promise<void> {
    await this.#bucket.ask(`to remove ${object}`, signal, (client, call) =>
      client.send(new DeleteObjectCommand({ Bucket: this.#bucket.bucket, Key: object }), call),
    );
  }
}

function isRange({ start, length }: { start: number; length: number }): boolean {
  return Number.isSafeInteger(start) && Number.isSafeInteger(length) && start >= 0 && length > 0;
}

function noSuchRange(key: string, { start, length }: { start: number; length: number }): CofreError {
  return new CofreError('invalid-range', `${key} has no ${length} bytes from ${start} on`);
}
