import { setTimeout as sleep } from 'node:timers/promises';

import type { GcsConfig } from '../../config/destination-schema.ts';
import { CofreError } from '../../errors/error.ts';
import { unlessMissing } from '../stored.ts';
import { credentialsOf, type Credentials } from './credentials.ts';
import { GcsRefusal, isPassing, toGcsError, toTokenError } from './errors.ts';
import { Connections, readText, type HttpAnswer, type HttpRequest } from './requests.ts';

const GOOGLE = 'https://storage.googleapis.com';
/** A connection that carries nothing for so long is given up. */
const IDLE_MS = 2 * 60_000;
/** Of single requests, against a short disturbance; anything longer is Temporal's to try again. */
const TRIES = 3;
const AGAIN_AFTER_MS = 300;

export interface BucketOptions {
  readonly idleMs?: number | undefined;
  /** Entries of one page of a list. */
  readonly pageSize?: number | undefined;
}

/** An object as the service describes it. */
export interface ObjectResource {
  readonly name?: string;
  readonly size?: string;
  readonly crc32c?: string;
  readonly generation?: string;
}

type Query = Readonly<Record<string, string>>;

export interface Asked {
  readonly method: HttpRequest['method'];
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: readonly Buffer[];
  readonly signal?: AbortSignal | undefined;
  /** Statuses that are answers and no refusals, beside those of success. */
  readonly expected?: readonly number[];
  /** Tried again by itself after a short disturbance, unless told. */
  readonly once?: boolean;
}

/** One configured bucket: how it is asked, and its names. */
export class GcsBucket {
  readonly config: GcsConfig;
  /** Where this is, for messages. */
  readonly url: string;
  readonly endpoint: string;
  readonly pageSize: number;
  readonly #prefix: string;
  readonly #connections: Connections;
  readonly #credentials: Credentials;

  constructor(config: GcsConfig, { idleMs = IDLE_MS, pageSize = 1000 }: BucketOptions = {}) {
    this.config = config;
    this.pageSize = pageSize;
    this.endpoint = (config.endpoint ?? GOOGLE).replace(/\/$/, '');
    this.#prefix = config.prefix === undefined ? '' : `${config.prefix}/`;
    this.url = `gs://${config.bucket}/${config.prefix ?? ''}`;
    this.#connections = new Connections(idleMs);
    this.#credentials = credentialsOf(config);
  }

  /** The name of a key, or the beginning of names of a prefix, in the bucket. */
  nameOf(key: string): string {
    return this.#prefix + key;
  }

  keyOf(name: string): string {
    return name.slice(this.#prefix.length);
  }

  /** The address of one object, or of the list of all. */
  objectUrl(name?: string, query: Query = {}): URL {
    const path = name === undefined ? 'o' : `o/${encodeURIComponent(name)}`;
    return this.#address('/storage/v1', path, query);
  }

  /** Where new objects are sent. */
  uploadUrl(query: Query): URL {
    return this.#address('/upload/storage/v1', 'o', query);
  }

  /**
   * Asks, and gives the answer as it begins. @throws CofreError for what is neither success nor `expected`: its own failures,
   * under the name of what was being done. The signal's reason passes through.
   */
  async ask(doing: string, asked: Asked): Promise<HttpAnswer> {
    const { signal, expected = [], once = false } = asked;
    const failed = `${this.url} failed ${doing}`;
    for (let tries = 1; ; tries += 1) {
      signal?.throwIfAborted();
      const authorization = await this.#credentials.headers().catch((cause: unknown) => {
        signal?.throwIfAborted();
        throw toTokenError(cause, failed);
      });
      try {
        const answer = await this.#connections.send({ ...asked, headers: { ...authorization, ...asked.headers } });
        if ((answer.status >= 200 && answer.status < 300) || expected.includes(answer.status)) return answer;
        throw new GcsRefusal(answer.status, await readText(answer.body));
      } catch (cause) {
        signal?.throwIfAborted();
        if (once || tries >= TRIES || !isPassing(cause)) throw toGcsError(cause, failed);
        await sleep(AGAIN_AFTER_MS * 4 ** (tries - 1), undefined, signal === undefined ? {} : { signal }).catch(() =>
          signal?.throwIfAborted(),
        );
      }
    }
  }

  /** The same for what answers with JSON, read to its end. */
  async askJson<T>(doing: string, asked: Asked): Promise<T> {
    const { body } = await this.ask(doing, asked);
    try {
      const text = await readText(body);
      return (text === '' ? {} : JSON.parse(text)) as T;
    } catch (cause) {
      asked.signal?.throwIfAborted();
      throw toGcsError(cause, `${this.url} failed ${doing}`);
    }
  }

  /** What the service says of an object; undefined where there is none. */
  async describe(name: string, signal: AbortSignal | undefined): Promise<ObjectResource | undefined> {
    const query = { fields: 'name,size,crc32c,generation' };
    return await unlessMissing(
      this.askJson<ObjectResource>(`to describe ${this.keyOf(name)}`, {
        method: 'GET',
        url: this.objectUrl(name, query),
        signal,
      }),
    );
  }

  /** One page of the objects whose names begin so. @throws CofreError `not-mounted` where there is no such bucket. */
  async listPage(
    beginning: string,
    after: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<{ items: ObjectResource[]; next: string | undefined }> {
    const page = await this.askJson<{ items?: ObjectResource[]; nextPageToken?: string }>('to list', {
      method: 'GET',
      url: this.objectUrl(undefined, {
        prefix: beginning,
        maxResults: String(this.pageSize),
        fields: 'items(name,size),nextPageToken',
        ...(after === undefined ? {} : { pageToken: after }),
      }),
      signal,
    }).catch((error: unknown) => {
      if (!(error instanceof CofreError) || error.code !== 'not-found') throw error;
      throw new CofreError('not-mounted', `there is no bucket ${this.config.bucket}`, {
        cause: error,
        hint: 'make the bucket, or correct its name',
      });
    });
    const next = page.nextPageToken;
    return { items: page.items ?? [], next: next === '' ? undefined : next };
  }

  /** Removes an object, or only that generation of it. Where there is none (any more) it is removed already. */
  async remove(name: string, signal: AbortSignal | undefined, generation?: string): Promise<void> {
    const query: Query = generation === undefined ? {} : { ifGenerationMatch: generation };
    const doing = `to remove ${this.keyOf(name)}`;
    const asked = {
      method: 'DELETE',
      url: this.objectUrl(name, query),
      signal,
      expected: [404, ...(generation === undefined ? [] : [412])],
    } as const;
    const { body } = await this.ask(doing, asked);
    await readText(body);
  }

  close(): void {
    this.#connections.close();
  }

  #address(api: string, path: string, query: Query): URL {
    const url = new URL(`${this.endpoint}${api}/b/${encodeURIComponent(this.config.bucket)}/${path}`);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    return url;
  }
}
