import { readdir } from 'node:fs/promises';
import { delimiter, join } from 'node:path';

import { CofreError, nativeCode } from '../../errors/error.ts';
import { toolVersion } from './tool-version.ts';

/** PostgreSQL's own tools, of one version. */
export interface Clients {
  readonly major: number;
  /** Such as `15.20`. */
  readonly version: string;
  readonly pgDump: string;
  readonly pgRestore: string;
  /** In words, that this version has known holes; null when it has none. */
  readonly warning: string | null;
}

/**
 * Finds the clients for a server (`server_version_num`), and for an archive that pg_dump `archiveMadeBy` wrote.
 * They are of the server's own major version: an older pg_dump cannot read it, and a newer one writes what it could not
 * take back. Servers 12 and 13, whose clients get no fixes any more, take the next ones that they understand.
 * @throws CofreError `tool-missing`, `tool-version`.
 */
export type FindClients = (serverVersionNumber: number, archiveMadeBy?: string) => Promise<Clients>;

const OLDEST_SERVER = 12;

/**
 * The first minor version of each major whose pg_dump and pg_restore have no known code-execution hole
 * (CVE-2026-18408, CVE-2026-116314). Majors below these get no fixes any more.
 */
const FIXED_MINOR: Readonly<Record<number, number>> = { 14: 25, 15: 20, 16: 16, 17: 12, 18: 7 };
const OLDEST_FIXED_MAJOR = 14;
/** From 17 on pg_restore begins with a setting, transaction_timeout, that older servers refuse. */
export const NEWEST_FOR_OLD_SERVERS = 16;

const DEBIAN_FOLDER = '/usr/lib/postgresql';

/**
 * How a host finds its clients: the first of `folders` with those that fit, which are Debian's by version and then PATH
 * unless told. Clients with known holes are taken only when `unfixed` is `warn`, and only where there are no others.
 */
export function clientFinder(rule: { unfixed: 'refuse' | 'warn'; folders?: readonly string[] }): FindClients {
  return async (serverVersionNumber, archiveMadeBy) => {
    const server = Math.floor(serverVersionNumber / 10_000);
    if (server < OLDEST_SERVER) {
      throw new CofreError(
        'tool-version',
        `PostgreSQL ${server} is too old: Cofre works with ${OLDEST_SERVER} and newer`,
        { hint: 'upgrade the server' },
      );
    }
    const { oldest, newest } = majorsFor(server, archiveMadeBy);
    const found: Clients[] = [];
    for (const folder of rule.folders ?? (await defaultFolders())) {
      const clients = await clientsIn(folder);
      if (clients === undefined) continue;
      const fits = clients.major >= oldest && clients.major <= newest;
      if (fits && clients.warning === null) return clients;
      found.push(clients);
    }
    const unfixed = found.find(({ major }) => major >= oldest && major <= newest);
    if (unfixed !== undefined && rule.unfixed === 'warn') return unfixed;
    throw unfixed === undefined
      ? noneFits(server, oldest, found, archiveMadeBy)
      : new CofreError('tool-version', `the clients for the PostgreSQL ${server} server: ${unfixed.warning}`, {
          hint: `upgrade the package postgresql-client-${unfixed.major} on this host; or allow them there with unfixedClients: warn`,
        });
  };
}

/** As `clientFinder` finds them, with no exception for known holes. */
export const findClients: FindClients = clientFinder({ unfixed: 'refuse' });

/** Every version of the clients on this machine that has known holes. */
export async function unfixedClients(): Promise<Clients[]> {
  const found = await Promise.all((await defaultFolders()).map(clientsIn));
  return found.filter((clients) => clients !== undefined).filter(({ warning }) => warning !== null);
}

function majorsFor(server: number, archiveMadeBy: string | undefined): { oldest: number; newest: number } {
  // An archive is read by the version that wrote it and by newer ones.
  const archive = archiveMadeBy === undefined ? 0 : Number.parseInt(archiveMadeBy, 10);
  const oldest = Math.max(server, OLDEST_FIXED_MAJOR, archive);
  return { oldest, newest: server < OLDEST_FIXED_MAJOR ? Math.max(oldest, NEWEST_FOR_OLD_SERVERS) : oldest };
}

function noneFits(
  server: number,
  oldest: number,
  found: readonly Clients[],
  archiveMadeBy: string | undefined,
): CofreError {
  const hint = `install the package postgresql-client-${oldest} on this host, or put the folder of its pg_dump into the worker's PATH`;
  const dump = archiveMadeBy === undefined ? '' : `, the dump was made by pg_dump ${archiveMadeBy}`;
  const what = `the server is PostgreSQL ${server}${dump}`;
  if (found.length === 0) {
    return new CofreError('tool-missing', `${what}, and this host has no pg_dump and pg_restore at all`, { hint });
  }
  const older = versionsOf(found.filter(({ major }) => major < oldest));
  const newer = versionsOf(found.filter(({ major }) => major > oldest));
  const only = [
    ...(older === '' ? [] : [`${older}, which is too old`]),
    ...(newer === '' ? [] : [`${newer}, which is too new: it writes what that server cannot take back`]),
  ];
  return new CofreError('tool-version', `${what}, and this host has only pg_dump ${only.join(', and ')}`, { hint });
}

function versionsOf(found: readonly Clients[]): string {
  return [...new Set(found.map(({ version }) => version))].join(', ');
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
  const major = Number.parseInt(version, 10);
  return { major, version, pgDump, pgRestore: join(folder, 'pg_restore'), warning: holesOf(major, version) };
}

function holesOf(major: number, version: string): string | null {
  const fixedMinor = FIXED_MINOR[major] ?? 0;
  const minor = Number(version.split('.')[1] ?? 0);
  if (major >= OLDEST_FIXED_MAJOR && minor >= fixedMinor) return null;
  const fixed = major < OLDEST_FIXED_MAJOR ? 'it gets no fixes' : `${major}.${fixedMinor} is the first without them`;
  return `pg_dump and pg_restore ${version} have known holes (CVE-2026-18408, CVE-2026-116314): a hostile dump can run code on this host; ${fixed}`;
}

async function filesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes(nativeCode(error) ?? '')) return [];
    throw error;
  }
}
