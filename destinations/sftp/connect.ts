import { createHash, timingSafeEqual } from 'node:crypto';
import { createConnection, type Socket } from 'node:net';

import { Client, type ConnectConfig } from 'ssh2';

import type { SftpConfig } from '../../config/destination-schema.ts';
import { resolvePrivateKey, resolveSecret } from '../../config/secret.ts';
import { CofreError, messageOf } from '../../errors/error.ts';

const CONNECT_WITHIN_MS = 30_000;
/** A connection on which nothing answers for so many of these is dead. */
const UNANSWERED_KEEPALIVES = 3;

/** What the transport says of a failure, by the step in which it happened. */
interface TransportError extends Error {
  readonly level?: string;
}

/** A connection that is logged in, and its socket: the client alone cannot end one that is half closed. */
export interface Connection {
  readonly client: Client;
  readonly socket: Socket;
}

/**
 * Opens an SSH connection and logs in. The host's key is compared with the pinned ones before anything of ours is sent.
 * @throws CofreError `access-denied` for another host key and for a refused login, `destination-unavailable`,
 * `secret-missing`, `bad-config` for a private key that cannot be used; the signal's reason.
 */
export async function connect(config: SftpConfig, keepaliveMs: number, signal?: AbortSignal): Promise<Connection> {
  const where = `${config.user}@${config.host}:${config.port}`;
  const login = await loginOf(config);
  const isPinned = (fingerprint: string): boolean =>
    [config.hostKey].flat().some((pinned) => isSame(pinned, fingerprint));
  signal?.throwIfAborted();
  let shown: string | undefined;
  const client = new Client();
  // Servers that ask for a password by questions, as PAM does, ask one without an echo.
  client.on('keyboard-interactive', (_name, _instructions, _language, prompts, finish) => {
    finish(prompts.map(({ echo }) => (echo === true ? '' : (login.password ?? ''))));
  });
  // Small packets wait for nothing: otherwise each block costs a delayed acknowledgement, 40 ms.
  const socket = createConnection({ host: config.host, port: config.port, noDelay: true });
  try {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('no answer in time')), CONNECT_WITHIN_MS);
      signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
      socket.once('error', reject);
      client.once('ready', resolve);
      client.on('error', reject);
      client.once('close', () => reject(new Error('the server closed the connection')));
      client.once('ready', () => clearTimeout(timer));
      socket.once('close', () => clearTimeout(timer));
      socket.once('connect', () => {
        try {
          client.connect({
            sock: socket,
            username: config.user,
            ...login,
            hostVerifier: (key: Buffer) => isPinned((shown = fingerprintOf(key))),
            keepaliveInterval: keepaliveMs,
            keepaliveCountMax: UNANSWERED_KEEPALIVES,
            readyTimeout: CONNECT_WITHIN_MS,
          });
        } catch (error) {
          reject(error as Error);
        }
      });
    });
    return { client, socket };
  } catch (cause) {
    socket.destroy();
    if (signal?.aborted === true && cause === signal.reason) throw cause;
    if (shown !== undefined && !isPinned(shown)) throw wrongHostKey(config, where, shown);
    throw toConnectError(cause as TransportError, config, where);
  }
}

async function loginOf(
  config: SftpConfig,
): Promise<Pick<ConnectConfig, 'password' | 'privateKey' | 'passphrase' | 'tryKeyboard'>> {
  const { password, privateKey, passphrase } = config;
  if (privateKey === undefined) return { password: (await resolveSecret(password ?? '')).reveal(), tryKeyboard: true };
  const key = { privateKey: (await resolvePrivateKey(privateKey)).reveal() };
  return passphrase === undefined ? key : { ...key, passphrase: (await resolveSecret(passphrase)).reveal() };
}

/** As OpenSSH prints it. */
function fingerprintOf(key: Buffer): string {
  return `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`;
}

function isSame(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}

function wrongHostKey({ host, port, hostKey }: SftpConfig, where: string, shown: string): CofreError {
  return new CofreError(
    'access-denied',
    `${where} shows the host key ${shown}, and ${[hostKey].flat().join(', ')} is pinned: nothing was sent`,
    {
      hint: `ask who runs the server whether its key changed; only then pin the new one in hostKey (ssh-keyscan -p ${port} ${host} | ssh-keygen -lf -)`,
    },
  );
}

function toConnectError(cause: TransportError, config: SftpConfig, where: string): CofreError {
  if (cause.level === 'client-authentication') {
    const used = config.privateKey === undefined ? 'password' : 'private key';
    return new CofreError('access-denied', `${where} refuses the login with the ${used}`, {
      cause,
      hint: "look at the server's log; the account must exist, and its key or password must be this one",
    });
  }
  // What is thrown before anything is sent. Its text names the kind of key and the flaw, never what is in it.
  if (cause.message.startsWith('Cannot parse privateKey')) {
    return new CofreError('bad-config', `the private key for ${where} cannot be used: ${cause.message}`, {
      cause,
      hint: 'it must be a private key of OpenSSH (ssh-keygen), with its passphrase in passphrase: if it has one',
    });
  }
  return unavailable(`${where} cannot be reached: ${messageOf(cause)}`, cause);
}

export function unavailable(message: string, cause: unknown): CofreError {
  return new CofreError('destination-unavailable', message, {
    cause,
    hint: 'look whether its SSH server runs, and at the network between this host and it',
  });
}
