import type { Readable } from 'node:stream';

/**
 * A place where backups are kept.
 *
 * Objects are written once and never changed: there is no overwrite, but for the alias. Any call may be made again after
 * a lost reply and must then give the same outcome, because Temporal will make it again.
 * A driver's own failures are `CofreError`s with the codes `not-found`, `already-exists`, `invalid-key`,
 * `invalid-range`, `access-denied`, `no-space`, `not-mounted` and, for everything a driver does not know,
 * `destination-unavailable`; and, for a place that is set up wrong on this host, `bad-config`, `secret-missing`,
 * `tool-missing` and `tool-version`. Failures of the body and of `signal` pass through untouched.
 */
export interface Destination {
  /** Where this is, for logs and messages. Never contains a secret. */
  readonly url: string;

  /**
   * Stores `body` under `key`, whole or not at all: a failed or aborted put leaves nothing to see.
   * If `key` already holds the same bytes, this succeeds; if it holds others, `already-exists`.
   * A body that gives other bytes than it announced (size or SHA-256) is `bad-content` and nothing is stored.
   */
  put(key: string, body: Body, options?: PutOptions): Promise<StoredObject>;

  /**
   * Puts `body` in the place of what `key` holds, or stores it where there is none. At every instant a reader sees the whole old
   * object or the whole new one, and a failed, aborted or killed call leaves the old one. A body that gives other bytes than it
   * announced is `bad-content` and replaces nothing.
   * For the alias alone (`config/alias.ts`), so that no mistake can overwrite a backup: any other key is `invalid-key`.
   * @throws CofreError `refused` where this place cannot do it.
   */
  replace(key: string, body: Body, options?: PutOptions): Promise<StoredObject>;

  /** Opens `key` for reading. A missing key rejects here, never later in the stream. */
  get(key: string, options?: GetOptions): Promise<Readable>;

  /** Describes `key` without reading it. */
  stat(key: string, options?: CallOptions): Promise<StoredObject>;

  /** Every object below `prefix` ('' or a path ending in '/'), each once, in no promised order. */
  list(prefix: string, options?: CallOptions): AsyncIterable<StoredObject>;

  /** Removes `key`. Removing a missing key succeeds. */
  remove(key: string, options?: CallOptions): Promise<void>;

  /**
   * Removes everything below `prefix` ('a/', never all), also what puts there have left or are leaving that never ended:
   * such a put fails. For an attempt that nobody needs any more.
   */
  discard(prefix: string, options?: CallOptions): Promise<void>;

  /** The same for one place, however it is addressed, and for no other; kept in the place itself. */
  identity(): Promise<string>;

  /** Releases connections. May be called twice. */
  close(): Promise<void>;
}

/** Whether an object may stand in the place of another: only an alias may. */
export type StoreMode = 'create' | 'replace';

/** What a put stores. It can be opened again, and at an offset, so that an interrupted upload can go on. */
export interface Body {
  readonly sizeBytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
  open(offset?: number): Readable;
  /** Where the same bytes lie as a file of this machine, for who reads into buffers of its own: a stream makes new ones all the time. */
  readonly path?: string | undefined;
}

export interface StoredObject {
  readonly key: string;
  readonly sizeBytes: number;
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface PutOptions extends CallOptions {
  /** Called with the number of bytes stored so far. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
  /** Called when it has to wait until others have been sent, because the destination takes so many `connections` at once. */
  readonly onWait?: (() => void) | undefined;
  /** Awaited before so many bytes are sent: it says when they may be. What is there already asks nobody. */
  readonly pace?: ((bytes: number) => Promise<void>) | undefined;
}

export interface GetOptions extends CallOptions {
  /** First byte, and how many; a range that begins at or after the end is `invalid-range`. */
  readonly range?: { readonly start: number; readonly length: number };
}
