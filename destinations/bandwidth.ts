import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Body, CallOptions, Destination, GetOptions, PutOptions, StoredObject } from './destination.ts';

/** What went faster than allowed is waited for at once, so that a limit is felt within a moment. */
const LONGEST_CREDIT_MS = 200;

/** Of this process, by the destination's name and its limit: all that goes there at once shares it. */
const lines = new Map<string, Line>();

/** A line that lets so many bytes pass in a second, to whoever asks first. */
class Line {
  readonly #bytesPerMs: number;
  #freeAtMs = 0;

  constructor(bytesPerSecond: number) {
    this.#bytesPerMs = bytesPerSecond / 1000;
  }

  /** Resolves when so many bytes more may have passed. */
  async pass(bytes: number, signal: AbortSignal | undefined): Promise<void> {
    const now = performance.now();
    this.#freeAtMs = Math.max(this.#freeAtMs, now - LONGEST_CREDIT_MS) + bytes / this.#bytesPerMs;
    const waitMs = this.#freeAtMs - now;
    if (waitMs > 0) await sleep(waitMs, undefined, { signal }).catch(() => signal?.throwIfAborted());
  }
}

/** A destination of which this process takes no more than so many bytes for each second, sent and read together. */
export class LimitedDestination implements Destination {
  readonly #place: Destination;
  readonly #line: Line;

  constructor(name: string, place: Destination, bytesPerSecond: number) {
    const key = `${name} ${bytesPerSecond}`;
    this.#place = place;
    this.#line = lines.get(key) ?? new Line(bytesPerSecond);
    lines.set(key, this.#line);
  }

  get url(): string {
    return this.#place.url;
  }

  async put(key: string, body: Body, options: PutOptions = {}): Promise<StoredObject> {
    const pace = (bytes: number): Promise<void> => this.#line.pass(bytes, options.signal);
    return await this.#place.put(key, body, { ...options, pace });
  }

  async replace(key: string, body: Body, options: PutOptions = {}): Promise<StoredObject> {
    const pace = (bytes: number): Promise<void> => this.#line.pass(bytes, options.signal);
    return await this.#place.replace(key, body, { ...options, pace });
  }

  async get(key: string, options: GetOptions = {}): Promise<Readable> {
    return this.#slowly(await this.#place.get(key, options), options.signal);
  }

  async stat(key: string, options?: CallOptions): Promise<StoredObject> {
    return await this.#place.stat(key, options);
  }

  list(prefix: string, options?: CallOptions): AsyncIterable<StoredObject> {
    return this.#place.list(prefix, options);
  }

  async remove(key: string, options?: CallOptions): Promise<void> {
    await this.#place.remove(key, options);
  }

  async discard(prefix: string, options?: CallOptions): Promise<void> {
    await this.#place.discard(prefix, options);
  }

  async identity(): Promise<string> {
    return await this.#place.identity();
  }

  async close(): Promise<void> {
    await this.#place.close();
  }

  #slowly(stream: Readable, signal: AbortSignal | undefined): Readable {
    const line = this.#line;
    async function* read(): AsyncGenerator<Buffer> {
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        await line.pass(chunk.length, signal);
        yield chunk;
      }
    }
    return Readable.from(read(), { objectMode: false });
  }
}
