import { setTimeout as sleep } from 'node:timers/promises';

import type { Secret } from '../../config/secret.ts';
import { CofreError } from '../../errors/error.ts';
import { BodyReader } from '../body-reader.ts';
import type { Body, PutOptions, StoreMode } from '../destination.ts';
import type { GcsBucket, ObjectResource } from './bucket.ts';
import { Crc32c } from './checksum.ts';
import type { SessionFiles } from './session-files.ts';
import { beginSession, endSession, PIECE_BYTES, progressOf, sendBytes, type Progress } from './session.ts';

/** Of one chunk, against a short disturbance. */
const TRIES = 3;
const AGAIN_AFTER_MS = 300;

/** What the service says that it has stored, and the checksum of what was to be stored. */
export interface Uploaded {
  readonly object: ObjectResource;
  readonly crc32c: string;
}

/**
 * Stores a large body in chunks, one after the other. Goes on from the offset that the service confirms, in the session of
 * an earlier put of the same bytes; the bytes before it are read and hashed again, so the whole is known to be what was announced
 * before its last chunk is sent. A failure leaves the session for the next try, unless it is of no use to any.
 * `onLast` is called before that chunk is sent: only a failure after it may have left an object.
 */
export async function uploadInChunks(
  bucket: GcsBucket,
  files: SessionFiles,
  name: string,
  body: Body,
  chunkBytes: number,
  options: PutOptions,
  onLast: () => void,
  mode: StoreMode,
): Promise<Uploaded> {
  const { address, confirmedBytes } = await takeUpOrBegin(bucket, files, name, body, mode, options.signal);
  const stop = new AbortController();
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
  const upload = new Upload(bucket, files, name, address, body.sizeBytes, confirmedBytes, { ...options, signal });
  const reader = new BodyReader(body, signal);
  // One is filled while the other is on its way.
  const buffers = [Buffer.allocUnsafe(chunkBytes), Buffer.allocUnsafe(chunkBytes)];
  const crc = new Crc32c();
  let sending: Promise<ObjectResource | undefined> = Promise.resolve(undefined);
  try {
    for (let start = 0, next = 0; start < body.sizeBytes; start += chunkBytes, next = 1 - next) {
      const length = Math.min(chunkBytes, body.sizeBytes - start);
      const bytes = await reader.fill((buffers[next] as Buffer).subarray(0, length));
      crc.update(bytes);
      const isLast = start + length === body.sizeBytes;
      if (isLast || bytes.length < length) await reader.finish();
      const tooEarly = await sending;
      if (tooEarly !== undefined) return { object: tooEarly, crc32c: crc.base64 };
      const unsentBytes = upload.unconfirmedBytesOf(start, length);
      if (unsentBytes > 0) await options.pace?.(unsentBytes);
      if (isLast) onLast();
      sending = upload.send(bytes, start, isLast ? crc.base64 : undefined);
      // Whoever waits for it hears of it, unless the body fails first.
      sending.catch(() => undefined);
    }
    const object = await sending;
    if (object !== undefined) return { object, crc32c: crc.base64 };
    throw new CofreError('destination-unavailable', `${bucket.url} has all of ${name} and does not store it`);
  } catch (error) {
    stop.abort(error);
    await sending.catch(() => undefined);
    options.signal?.throwIfAborted();
    // Nobody can end what began with a wrong body.
    if (error instanceof CofreError && error.code === 'bad-content') {
      await files.forget(name);
      await endSession(bucket, name, address, options.signal);
    }
    throw error;
  } finally {
    await reader.close();
  }
}

async function takeUpOrBegin(
  bucket: GcsBucket,
  files: SessionFiles,
  name: string,
  body: Body,
  mode: StoreMode,
  signal: AbortSignal | undefined,
): Promise<{ address: Secret; confirmedBytes: number }> {
  const known = await files.recall(name, body);
  if (known !== undefined) {
    const progress = await progressOf(bucket, name, known, body.sizeBytes, { signal });
    if (progress.state === 'open') return { address: known, confirmedBytes: progress.confirmedBytes };
    // Of one that is done the object was looked for and not found: somebody has removed it since.
  }
  const address = await beginSession(bucket, name, body.sizeBytes, mode, signal);
  await files.remember(name, body, address);
  return { address, confirmedBytes: 0 };
}

/** One session, and how far the service has come in it. */
class Upload {
  readonly #bucket: GcsBucket;
  readonly #files: SessionFiles;
  readonly #name: string;
  readonly #address: Secret;
  readonly #sizeBytes: number;
  readonly #options: PutOptions;
  #confirmedBytes = 0;

  constructor(
    bucket: GcsBucket,
    files: SessionFiles,
    name: string,
    address: Secret,
    sizeBytes: number,
    confirmedBytes: number,
    options: PutOptions,
  ) {
    this.#bucket = bucket;
    this.#files = files;
    this.#name = name;
    this.#address = address;
    this.#sizeBytes = sizeBytes;
    this.#options = options;
    this.#confirm(confirmedBytes);
  }

  /** How many of these bytes the service has not yet. */
  unconfirmedBytesOf(start: number, length: number): number {
    return Math.min(length, Math.max(0, start + length - this.#confirmedBytes));
  }

  /**
   * Sends what the service has not yet of the bytes at `start`, until it has confirmed them all. `crc32c`, that of the whole
   * object, says that they are the last. Gives the object once there is one.
   */
  async send(bytes: Buffer, start: number, crc32c: string | undefined): Promise<ObjectResource | undefined> {
    const end = start + bytes.length;
    for (let tries = 0; this.#confirmedBytes < end;) {
      if (this.#confirmedBytes < start) throw this.#failure('has lost what it had of it');
      if (crc32c !== undefined && !(await this.#files.isWanted(this.#name))) {
        throw this.#failure('was told to forget it');
      }
      const before = this.#confirmedBytes;
      const progress = await this.#sendFrom(Math.max(start, before), bytes, start, crc32c, (tries += 1));
      if (progress.state === 'done') return progress.object;
      if (progress.state !== 'open') {
        await this.#files.forget(this.#name);
        throw this.#failure(progress.state === 'gone' ? 'has ended the upload of it' : `refused it: ${progress.why}`);
      }
      this.#confirm(progress.confirmedBytes);
      if (this.#confirmedBytes > before) tries = 0;
      else if (tries >= TRIES) throw this.#failure('takes nothing more of it');
    }
    return undefined;
  }

  /** A chunk that failed may have arrived: the service is asked how far it is. */
  async #sendFrom(
    from: number,
    bytes: Buffer,
    start: number,
    crc32c: string | undefined,
    tries: number,
  ): Promise<Progress> {
    const { signal } = this.#options;
    try {
      const part = { bytes: bytes.subarray(from - start), start: from, sizeBytes: this.#sizeBytes };
      const sum = crc32c === undefined ? {} : { crc32c };
      return await sendBytes(this.#bucket, this.#name, this.#address, { ...part, ...sum }, signal);
    } catch (error) {
      signal?.throwIfAborted();
      const isPassing = error instanceof CofreError && error.code === 'destination-unavailable';
      if (!isPassing || tries >= TRIES) throw error;
      await sleep(AGAIN_AFTER_MS * 4 ** (tries - 1), undefined, signal === undefined ? {} : { signal }).catch(() =>
        signal?.throwIfAborted(),
      );
      // Where nobody answers now, the next try of the put is the one to ask.
      const how = { signal, once: true };
      return await progressOf(this.#bucket, this.#name, this.#address, this.#sizeBytes, how);
    }
  }

  /** The last piece is never taken as confirmed while there is no object: sending it again makes one. */
  #confirm(bytes: number): void {
    const last = this.#sizeBytes - 1;
    this.#confirmedBytes = Math.min(bytes, last - (last % PIECE_BYTES));
    if (this.#confirmedBytes > 0) this.#options.onProgress?.(this.#confirmedBytes);
  }

  #failure(what: string): CofreError {
    return new CofreError('destination-unavailable', `${this.#bucket.url} ${what} (${this.#name})`, {
      hint: 'the next try begins where the service says',
    });
  }
}
