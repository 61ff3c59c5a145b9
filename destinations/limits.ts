import { Readable } from 'node:stream';

import { lineOf, type Line } from './bandwidth.ts';
import { slotsOf, type Slots } from './connections.ts';
import type { Body, CallOptions, Destination, GetOptions, PutOptions, StoredObject } from './destination.ts';

export interface Limits {
  readonly bytesPerSecond?: number | undefined;
  /** Objects that are sent at once, and as many that are read; small ones are not counted. */
  readonly connections?: number | undefined;
}

/** Manifests and holds do not wait for hours behind somebody's archive: some lie in a transaction, all make a copy known. */
const SMALL_BYTES = 1024 * 1024;

/**
 * A destination of which this process takes no more than so many bytes for each second, and so many objects at once. Whoever
 * reads an object and sends one must open what is read inside of the put: in the other order two copies could wait for each other.
 */
export class LimitedDestination implements Destination {
  readonly #place: Destination;
  readonly #line: Line | undefined;
  readonly #sending: Slots | undefined;
  readonly #reading: Slots | undefined;

  constructor(name: string, place: Destination, { bytesPerSecond, connections }: Limits) {
    this.#place = place;
    if (bytesPerSecond !== undefined) this.#line = lineOf(name, bytesPerSecond);
    if (connections === undefined) return;
    this.#sending = slotsOf(name, 'send', connections);
    this.#reading = slotsOf(name, 'read', connections);
  }

  get url(): string {
    return this.#place.url;
  }

  async put(key: string, body: Body, options: PutOptions = {}): Promise<StoredObject> {
    return await this.#send(body, (limited) => this.#place.put(key, body, limited), options);
  }

  async replace(key: string, body: Body, options: PutOptions = {}): Promise<StoredObject> {
    return await this.#send(body, (limited) => this.#place.replace(key, body, limited), options);
  }

  async get(key: string, options: GetOptions = {}): Promise<Readable> {
    const isLarge = this.#reading !== undefined && (await this.#place.stat(key, options)).sizeBytes > SMALL_BYTES;
    const leave = isLarge ? await this.#reading?.take(options.signal) : undefined;
    try {
      const stream = await this.#place.get(key, options);
      if (leave !== undefined) stream.once('close', leave);
      return this.#line === undefined ? stream : slowly(stream, this.#line, options.signal);
    } catch (error) {
      leave?.();
      throw error;
    }
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

  async #send(
    { sizeBytes }: Body,
    send: (limited: PutOptions) => Promise<StoredObject>,
    options: PutOptions,
  ): Promise<StoredObject> {
    const line = this.#line;
    const pace = line === undefined ? {} : { pace: (bytes: number) => line.pass(bytes, options.signal) };
    const leave = sizeBytes > SMALL_BYTES ? await this.#sending?.take(options.signal, options.onWait) : undefined;
    try {
      return await send({ ...options, ...pace });
    } finally {
      leave?.();
    }
  }
}

function slowly(stream: Readable, line: Line, signal: AbortSignal | undefined): Readable {
  async function* read(): AsyncGenerator<Buffer> {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      await line.pass(chunk.length, signal);
      yield chunk;
    }
  }
  const slow = Readable.from(read(), { objectMode: false });
  // A loop that was never begun does not end what it would have read.
  slow.once('close', () => stream.destroy());
  return slow;
}
