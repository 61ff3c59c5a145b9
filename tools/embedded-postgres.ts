import { closeSync, openSync } from 'node:fs';
import { mkdir, readFile, readlink, realpath, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { Secret } from '../config/secret.ts';
import { CofreError, messageOf, nativeCode } from '../errors/error.ts';
import { openClient } from '../postgres/connect.ts';
import { makeCluster, OPEN_FOLDER, serverAccount, serverPrograms, type ServerAccount } from './postgres-cluster.ts';
import { startServer, type RunningServer } from './running-server.ts';

export interface PostgresOptions {
  /** The server's own folder, made if need be: `data/` is the cluster, `postgres.log` its log. */
  readonly folder: string;
  readonly port: number;
  /** The superuser of the cluster; `postgres` unless told. */
  readonly superuser?: string;
  readonly password: string;
  readonly settings?: Readonly<Record<string, string>>;
  /** The folder of the server's programs, which the server's user can enter; unless told, those of an installed version. */
  readonly programs?: string;
}

/** After `kill -9` of a server its sessions may take a moment to notice; until then PostgreSQL refuses a new one. */
const WAIT_FOR_OLD_SESSIONS_MS = 15_000;

/**
 * Starts PostgreSQL on 127.0.0.1 only, with the cluster in `folder`, which is made if there is none.
 * The server shuts down when this process dies. As root it runs as the user `postgres`.
 * @throws CofreError `busy` if a server runs in the folder already, `server-denied` if the password is another one,
 * `tool-missing`, or `tool-failed` with the end of the server's log.
 */
export async function startPostgres(options: PostgresOptions): Promise<RunningServer> {
  const folder = resolve(options.folder);
  const data = join(folder, 'data');
  const account = await serverAccount();
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await refuseIfRunning(data);
  if (!(await isFolder(data))) {
    const { superuser = 'postgres', password, programs } = options;
    await makeCluster(folder, account, { superuser, password }, programs);
  }
  const deadline = performance.now() + WAIT_FOR_OLD_SESSIONS_MS;
  for (;;) {
    try {
      return await startOnce(folder, account, options);
    } catch (error) {
      if (!messageOf(error).includes('is still in use') || performance.now() > deadline) throw error;
      await sleep(250);
    }
  }
}

async function startOnce(folder: string, account: ServerAccount, options: PostgresOptions): Promise<RunningServer> {
  const data = join(folder, 'data');
  const settings = { listen_addresses: '127.0.0.1', unix_socket_directories: '', ...options.settings };
  const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const path = join(options.programs ?? (await serverPrograms(data)), 'postgres');
  const open = openSync(data, 'r');
  try {
    return await startServer(
      {
        name: 'PostgreSQL',
        port: options.port,
        path,
        args: ['-D', OPEN_FOLDER, '-p', String(options.port), ...args],
        privileges: account.privileges,
        folder: open,
        logFile: join(folder, 'postgres.log'),
        endSignal: 'SIGINT',
      },
      () => answers(options),
    );
  } finally {
    closeSync(open);
  }
}

async function answers(options: PostgresOptions): Promise<boolean> {
  try {
    const client = await openClient({
      host: '127.0.0.1',
      port: options.port,
      tls: 'off',
      user: options.superuser ?? 'postgres',
      password: new Secret(options.password),
      database: 'postgres',
    });
    await client.end();
    return true;
  } catch (error) {
    if (error instanceof CofreError && error.code === 'server-unavailable') return false;
    throw error;
  }
}

/** A file that a killed server left is no obstacle: its process is gone, or is another program's by now. */
async function refuseIfRunning(data: string): Promise<void> {
  const pid = (await readFile(join(data, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n')[0];
  if (pid === undefined || pid === '') return;
  const workingFolder = await readlink(`/proc/${pid}/cwd`).catch(() => undefined);
  if (workingFolder !== (await realpath(data))) return;
  throw new CofreError('busy', `a PostgreSQL server already runs in ${data} as process ${pid}`, {
    hint: `stop what started it, or end it with: kill -INT ${pid}`,
  });
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (nativeCode(error) === 'ENOENT') return false;
    throw error;
  }
}
