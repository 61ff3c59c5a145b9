import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { access, chown, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

import { CofreError, messageOf } from '../errors/error.ts';
import { captureTool } from '../processes/tool.ts';

/** Who owns a cluster and runs its server: this user, or `postgres` where this one is root, which PostgreSQL refuses. */
export interface ServerAccount {
  /** Options of setpriv(1) that become this user. */
  readonly privileges: readonly string[];
  readonly owner?: { readonly uid: number; readonly gid: number };
}

const VERSIONS_FOLDER = '/usr/lib/postgresql';

/**
 * The path by which PostgreSQL finds a folder that it gets as open file descriptor 3. By its name, the user `postgres`
 * could not reach a folder below one that only root may enter, such as /root or what mktemp makes.
 */
export const OPEN_FOLDER = '/proc/self/fd/3';

/** @throws CofreError `tool-missing` where this is root and there is no user `postgres`. */
export async function serverAccount(): Promise<ServerAccount> {
  if (process.getuid?.() !== 0) return { privileges: [] };
  try {
    const uid = Number(await captureTool({ name: 'id', path: 'id', args: ['-u', 'postgres'] }));
    const gid = Number(await captureTool({ name: 'id', path: 'id', args: ['-g', 'postgres'] }));
    return { privileges: ['--reuid', String(uid), '--regid', String(gid), '--init-groups'], owner: { uid, gid } };
  } catch (cause) {
    throw new CofreError('tool-missing', 'PostgreSQL refuses to run as root, and there is no user postgres', {
      cause,
      hint: 'run this as an ordinary user, or install the Debian package postgresql-15, which makes that user',
    });
  }
}

/**
 * The folder of the server's programs: of the version that made the cluster in `data`, the newest installed where there is none yet.
 * @throws CofreError `tool-missing`, naming the version.
 */
export async function serverPrograms(data: string): Promise<string> {
  const madeBy = await readFile(join(data, 'PG_VERSION'), 'utf8').catch(() => undefined);
  const versions = madeBy === undefined ? await installedVersions() : [madeBy.trim()];
  for (const version of versions) {
    const programs = join(VERSIONS_FOLDER, version, 'bin');
    if (await exists(join(programs, 'postgres'))) return programs;
  }
  const which = madeBy === undefined ? 'a PostgreSQL server' : `PostgreSQL ${madeBy.trim()}, which made ${data},`;
  throw new CofreError('tool-missing', `${which} is not installed below ${VERSIONS_FOLDER}`, {
    hint: 'tools/setup installs the server; another version comes with the Debian package postgresql-<version>',
  });
}

async function installedVersions(): Promise<string[]> {
  const names = await readdir(VERSIONS_FOLDER).catch(() => []);
  return names.filter((name) => /^[0-9]+$/.test(name)).sort((a, b) => Number(b) - Number(a));
}

/**
 * Makes the cluster `<folder>/data`: UTF-8, no locale's rules, checksums, passwords for everybody.
 * It is made under another name and then renamed, so that a folder called `data` is always a whole cluster.
 */
export async function makeCluster(
  folder: string,
  account: ServerAccount,
  login: { readonly superuser: string; readonly password: string },
  programs?: string,
): Promise<void> {
  const initdb = join(programs ?? (await serverPrograms(join(folder, 'data'))), 'initdb');
  const unfinished = join(folder, 'data.unfinished');
  const passwordFile = join(folder, 'password');
  // A killed initdb's last process may still write into it for a moment.
  await rm(unfinished, { recursive: true, force: true, maxRetries: 10 });
  await rm(passwordFile, { force: true });
  await mkdir(unfinished, { mode: 0o700 });
  await writeFile(passwordFile, `${login.password}\n`, { mode: 0o600 });
  try {
    if (account.owner !== undefined) {
      await chown(unfinished, account.owner.uid, account.owner.gid);
      await chown(passwordFile, account.owner.uid, account.owner.gid);
    }
    await runInitdb(initdb, account, login.superuser, [unfinished, passwordFile]);
    await rename(unfinished, join(folder, 'data'));
  } finally {
    await rm(passwordFile, { force: true });
  }
}

async function runInitdb(
  path: string,
  account: ServerAccount,
  superuser: string,
  paths: readonly string[],
): Promise<void> {
  const args = [
    ...['--pgdata', OPEN_FOLDER, '--pwfile', '/proc/self/fd/4', '--username', superuser, '--auth', 'scram-sha-256'],
    ...['--encoding', 'UTF8', '--locale', 'C.UTF-8', '--data-checksums'],
  ];
  const open = paths.map((name) => openSync(name, 'r'));
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...account.privileges, '--', path, ...args], {
    cwd: '/',
    env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C.UTF-8' },
    stdio: ['ignore', 'ignore', 'pipe', ...open],
  });
  for (const fd of open) closeSync(fd);
  let said = '';
  try {
    const [output, [code]] = await Promise.all([text(child.stderr!), once(child, 'close')]);
    said = output;
    if (code === 0) return;
  } catch (cause) {
    throw new CofreError('tool-missing', `initdb could not be started: ${messageOf(cause)}`, { cause });
  }
  throw new CofreError('tool-failed', `initdb could not make a database cluster: ${said.trim()}`);
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
