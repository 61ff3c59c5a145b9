import { readdir } from 'node:fs/promises';
import { delimiter, join } from 'node:path';

import { CofreError, nativeCode } from '../../errors/error.ts';
import { captureTool } from '../../processes/tool.ts';

/** PostgreSQL's own tools, of one version. */
export interface Clients {
  readonly major: number;
  /** Such as `15.20`. */
  readonly version: string;
  readonly pgDump: string;
  readonly pgRestore: string;
}

const OLDEST_SERVER = 12;

/**
 * The first minor version of each major whose pg_dump and pg_restore have no known code-execution hole
 * (CVE-2026-18408, CVE-2026-116314). Majors below these get no fixes any more.
 */
const FIXED_MINOR: Readonly<Record<number, number>> = { 14: 25, 15: 20, 16: 16, 17: 12, 18: 7 };
const OLDEST_FIXED_MAJOR = 14;

const DEBIAN_FOLDER = '/usr/lib/postgresql';

/**
 * Finds the clients for a server (`server_version_num`): of its own major version, because a newer pg_dump writes
 * what an older server cannot restore. Servers 12 and 13, whose clients get no fixes, take the oldest fixed ones.
 * The first of `folders` that fits is taken; unless told, they are Debian's by version and then PATH.
 * @throws CofreError `tool-missing`, `tool-version`.
 */
export async function findClients(serverVersionNumber: number, folders?: readonly string[]): Promise<Clients> {
  const server = Math.floor(serverVersionNumber / 10_000);
  if (server < OLDEST_SERVER) {
    throw new CofreError(
      'tool-version',
      `PostgreSQL ${server} is too old: Cofre works with ${OLDEST_SERVER} and newer`,
      {
        hint: 'upgrade the server',
      },
    );
  }
  const wanted = Math.max(server, OLDEST_FIXED_MAJOR);
  const found: Clients[] = [];
  for (const folder of folders ?? (await defaultFolders())) {
    const clients = await clientsIn(folder);
    if (clients === undefined) continue;
    if (fits(clients, server) && isFixed(clients)) return clients;
    found.push(clients);
  }

  const hint = `install or upgrade the package postgresql-client-${wanted} on this host`;
  const unsafe = found.find((clients) => fits(clients, server));
  if (unsafe !== undefined) {
    const minimum = `${unsafe.major}.${FIXED_MINOR[unsafe.major] ?? 0}`;
    throw new CofreError(
      'tool-version',
      `pg_dump ${unsafe.version} for the PostgreSQL ${server} server has known holes; ${minimum} is the first without them`,
      { hint },
    );
  }
  if (found.length > 0) {
    const versions = found.map((clients) => clients.version).join(', ');
    throw new CofreError(
      'tool-version',
      `the server is PostgreSQL ${server}, and this host has only pg_dump ${versions}`,
      { hint },
    );
  }
  throw new CofreError('tool-missing', `this host has no pg_dump and pg_restore for the PostgreSQL ${server} server`, {
    hint,
  });
}

function fits({ major }: Clients, server: number): boolean {
  return server < OLDEST_FIXED_MAJOR ? major >= OLDEST_FIXED_MAJOR : major === server;
}

function isFixed(clients: Clients): boolean {
  const minor = Number(clients.version.split('.')[1] ?? 0);
  return clients.major >= OLDEST_FIXED_MAJOR && minor >= (FIXED_MINOR[clients.major] ?? 0);
}

async function defaultFolders(): Promise<string[]> {
  const majors = (await filesIn(DEBIAN_FOLDER)).filter((name) => /^[0-9]+$/.test(name)).sort();
  const inPath = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder.startsWith('/'));
  return [...majors.map((major) => join(DEBIAN_FOLDER, major, 'bin')), ...inPath];
}

async function clientsIn(folder: string): Promise<Clients | undefined> {
  const files = await filesIn(folder);
  if (!files.includes('pg_dump') || !files.includes('pg_restore')) return undefined;
  const pgDump = join(folder, 'pg_dump');
  const version = await toolVersion('pg_dump', pgDump);
  return { major: Number.parseInt(version, 10), version, pgDump, pgRestore: join(folder, 'pg_restore') };
}

async function filesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes(nativeCode(error) ?? '')) return [];
    throw error;
  }
}

/** The version that a tool prints about itself, such as `1.5.4`. */
export async function toolVersion(name: string, path: string = name): Promise<string> {
  const text = await captureTool({ name, path, args: ['--version'] });
  const version = /(?<![\w.])v?(\d+(?:\.\d+)+)/.exec(text)?.[1];
  if (version === undefined) throw new CofreError('tool-version', `${name} does not say its version`);
  return version;
}
