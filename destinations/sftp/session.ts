import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

import type { SFTPWrapper, Stats } from 'ssh2';

import type { SftpConfig } from '../../config/destination-schema.ts';
import { CofreError, messageOf } from '../../errors/error.ts';
import { connect, unavailable, type Connection } from './connect.ts';
import { STATUS, SftpStatus, ignoreStatus } from './errors.ts';

export interface SessionLimits {
  /** How often the server is asked whether it is there; three times without an answer, and the connection is dead. */
  readonly keepaliveMs: number;
  /** How long a request may wait for its answer while the connection lives: the disk behind the server may hang. */
  readonly answerWithinMs: number;
}

const CLOSE_WITHIN_MS = 1_000;
const BESIDE_WITHIN_MS = 10_000;
export const PATIENT: SessionLimits = { keepaliveMs: 10_000, answerWithinMs: 5 * 60_000 };

type Callback<T> = (error: Error | null | undefined, value?: T) => void;

/**
 * One SFTP session on a connection of its own. Requests fail with `SftpStatus` for what the server refuses, and with
 * `destination-unavailable` once the connection is lost: then all that are under way fail, and the session is of no more use.
 */
export class SftpSession {
  readonly sftp: SFTPWrapper;
  readonly #connection: Connection;
  readonly #lost = new AbortController();
  readonly #watch: NodeJS.Timeout;
  readonly #waiting = new Set<(error: Error) => void>();
  readonly #another: () => Promise<SftpSession>;
  #beside: Promise<SftpSession | undefined> | undefined;
  #answeredAt = performance.now();

  private constructor(connection: Connection, sftp: SFTPWrapper, where: string, limits: SessionLimits) {
    this.#connection = connection;
    this.sftp = sftp;
    this.#another = async () => new SftpSession(connection, await openChannel(connection, where), where, limits);
    // As many as there are puts under way.
    setMaxListeners(0, this.lost);
    let failure: Error | undefined;
    const onEnd = (): void =>
      this.#lose(
        unavailable(
          `the connection to ${where} was lost${failure === undefined ? '' : `: ${messageOf(failure)}`}`,
          failure,
        ),
      );
    for (const part of [connection.client, sftp]) {
      part.on('error', (error: Error) => (failure ??= error));
      part.on('close', onEnd);
    }
    sftp.on('end', onEnd);
    this.#watch = setInterval(() => {
      const silentMs = performance.now() - this.#answeredAt;
      if (this.#waiting.size === 0 || silentMs < limits.answerWithinMs) return;
      this.#lose(
        unavailable(`${where} answers nothing for ${Math.round(silentMs / 1000)} s: its disk may hang`, undefined),
      );
    }, limits.answerWithinMs / 10).unref();
  }

  /** @throws CofreError as `connect` does, and `access-denied` where the account has no SFTP. */
  static async open(config: SftpConfig, limits: SessionLimits, signal?: AbortSignal): Promise<SftpSession> {
    const where = `${config.user}@${config.host}:${config.port}`;
    const connection = await connect(config, limits.keepaliveMs, signal);
    try {
      return new SftpSession(connection, await openChannel(connection, where), where, limits);
    } catch (error) {
      connection.socket.destroy();
      throw error;
    }
  }

  /**
   * Another channel on the same connection, with a window of its own, for as long as this one; undefined where the server
   * gives none. One that ends the connection for it makes this session `lost`.
   */
  async beside(): Promise<SftpSession | undefined> {
    this.#beside ??= Promise.race([
      this.#another().catch(() => undefined),
      sleep(BESIDE_WITHIN_MS, undefined, { ref: false }),
    ]);
    return await this.#beside;
  }

  /** Aborted, with the error to tell, once the connection is lost. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /**
   * Sends one request, without waiting for those before it. Calls back once: with the answer, the server's refusal as
   * `SftpStatus`, or the error that the connection was lost with.
   */
  send<T>(request: (sftp: SFTPWrapper, done: Callback<T>) => void, done: Callback<T>): void {
    if (this.lost.aborted) return done(this.lost.reason as Error);
    if (this.#waiting.size === 0) this.#answeredAt = performance.now();
    const onLost = (error: Error): void => done(error);
    this.#waiting.add(onLost);
    request(this.sftp, (error, value) => {
      this.#answeredAt = performance.now();
      // Not waiting any more: the connection was lost meanwhile, and it has been told.
      if (!this.#waiting.delete(onLost)) return;
      if (error === undefined || error === null) done(undefined, value);
      else done(toStatus(error));
    });
  }

  /** Sends one request and gives its answer. @throws SftpStatus, CofreError `destination-unavailable`, the signal's reason. */
  async ask<T>(request: (sftp: SFTPWrapper, done: Callback<T>) => void, signal?: AbortSignal): Promise<T> {
    const answer = new Promise<T>((resolve, reject) => {
      this.send<T>(request, (error, value) => (error === undefined ? resolve(value as T) : reject(error as Error)));
    });
    return await orAborted(answer, signal);
  }

  /** What stands at a path, not following a link; undefined where nothing does. */
  async look(path: string, signal?: AbortSignal): Promise<Stats | undefined> {
    return await this.ask<Stats>((sftp, done) => sftp.lstat(path, done), signal).catch(ignoreStatus(STATUS.noSuchFile));
  }

  /** Ends the connection and waits for that, not for long. What is under way fails. */
  async close(): Promise<void> {
    const { client, socket } = this.#connection;
    if (socket.closed) return;
    this.#fail(unavailable('the destination was closed', undefined));
    // Not `once` of Node's, which fails with the error of a server that resets the connection at its end.
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    const timer = setTimeout(() => socket.destroy(), CLOSE_WITHIN_MS);
    client.end();
    await closed;
    clearTimeout(timer);
  }

  #lose(error: CofreError): void {
    this.#fail(error);
    this.#connection.socket.destroy();
  }

  #fail(error: CofreError): void {
    clearInterval(this.#watch);
    this.#lost.abort(error);
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const tell of waiting) tell(error);
  }
}

/** @throws CofreError `access-denied` where the account has no SFTP, `destination-unavailable` when the connection is lost. */
async function openChannel({ client }: Connection, where: string): Promise<SFTPWrapper> {
  return await new Promise<SFTPWrapper>((resolve, reject) => {
    client.once('close', () => reject(unavailable(`the connection to ${where} was lost`, undefined)));
    client.sftp((error, channel) => {
      if (error === undefined || error === null) return resolve(channel);
      const hint = 'the account must be allowed to use SFTP (Subsystem sftp internal-sftp in sshd_config)';
      reject(new CofreError('access-denied', `${where} gives no SFTP: ${messageOf(error)}`, { cause: error, hint }));
    });
  });
}

function toStatus(error: Error): Error {
  const { code } = error as { code?: unknown };
  return typeof code === 'number' ? new SftpStatus(code, error.message) : error;
}

/** Waits no longer than until the signal aborts, and fails with its reason then. */
export async function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await promise;
  let onAbort = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason as Error);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
