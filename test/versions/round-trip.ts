import { createReadStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import type { Pipeline } from '../../catalog/manifest.ts';
import { Secret } from '../../config/secret.ts';
import { withClient, type PostgresTarget } from '../../postgres/connect.ts';
import { checkArchive } from '../../sources/postgres/check-archive.ts';
import { checkSource } from '../../sources/postgres/check-source.ts';
import { checkTarget } from '../../sources/postgres/check-target.ts';
import { clientFinder, type FindClients } from '../../sources/postgres/clients.ts';
import { compareWithManifest } from '../../sources/postgres/compare.ts';
import { compressDump } from '../../sources/postgres/compress.ts';
import { dropDatabase } from '../../sources/postgres/drop-database.ts';
import { dumpDatabase } from '../../sources/postgres/dump.ts';
import { oldName, type RestoreTarget } from '../../sources/postgres/restore-target.ts';
import { swapDatabases } from '../../sources/postgres/swap.ts';
import { clientsFolder, type Major, type VersionServer } from '../postgres-version.ts';
import { newId, restore, type Backup } from '../sources/postgres/restore-fixture.ts';
import { ownersSql, roleSql, SECOND_SQL, shapeOf, superusersSql, type SourceNames } from './features.ts';

const DEBIAN = '/usr/lib/postgresql/15/bin';

/**
 * The clients for a server as a host with all of them finds them. There are none here for 14, so 15 stands in, as if an
 * archive asked for it: what the product itself says to that server is all its own.
 */
export function clientsFor(major: Major): FindClients {
  const folders = [DEBIAN, clientsFolder(16), clientsFolder(17), clientsFolder(18)];
  const find = clientFinder({ unfixed: 'warn', folders });
  return (version, madeBy) => find(version, major === 14 ? (madeBy ?? '15') : madeBy);
}

/** Made by one server, and what tells which. */
export type VersionBackup = Backup & { readonly serverVersionNumber: number; readonly madeBy: string };

/** A database with all that its version knows, its roles, and the logins that Cofre uses. */
export interface Source {
  readonly server: VersionServer;
  readonly names: SourceNames;
  readonly target: PostgresTarget;
}

const NAMES = { database: 'acme', owner: 'acme', second: 'outra_app', group: 'grupo' } as const;

/** `extra` runs in it as a superuser; without `extensions` everything can be restored by an admin that is none. */
export async function makeSource(
  server: VersionServer,
  { names = NAMES, extra = '', extensions = true }: { names?: SourceNames; extra?: string; extensions?: boolean } = {},
): Promise<Source> {
  const { major, superuser } = server;
  await run(superuser, roleSql(major, names));
  await run(superuser, `CREATE DATABASE ${names.database} OWNER ${names.owner} TEMPLATE template0 ${shapeOf(major)}`);
  const target = { ...superuser, database: names.database };
  const asRole = (user: string): PostgresTarget => ({ ...target, user, password: new Secret('x') });
  await run(target, superusersSql(major, names, extensions));
  await run(asRole(names.owner), ownersSql(major, names, extensions));
  await run(asRole(names.second), `SET search_path = public; ${SECOND_SQL}`);
  if (extra !== '') await run(target, extra);
  return { server, names, target };
}

export async function run(target: PostgresTarget, sql: string): Promise<void> {
  await withClient(target, async (client) => {
    // As an application's session: Cofre's own finds only the system's names.
    await client.query('SET search_path = public');
    await client.query(sql);
  });
}

/** Every step of a backup, as the activities make them. */
export async function backUp(
  source: PostgresTarget,
  major: Major,
  pipeline: Pipeline,
  folder: string,
): Promise<VersionBackup> {
  const find = clientsFor(major);
  const { tools } = await checkSource(source, { find: find });
  const request = { directory: join(folder, newId()), jobs: 2, scratch: join(folder, 'scratch'), stallMs: 60_000 };
  await mkdir(request.directory);
  const { content, database, server } = await dumpDatabase({
    ...request,
    target: source,
    clientsFor: async () => tools,
    pipeline,
  });
  const archive = await compressDump(request);
  await checkArchive({ stream: createReadStream(archive.path), file: archive.file, content, clients: tools });
  const { versionNumber: serverVersionNumber } = server;
  return { file: archive.path, format: pipeline, facts: database, content, serverVersionNumber, madeBy: tools.version };
}

/** Every step of a restore, from the preflight to the removal of the database that was replaced. Gives the warnings. */
export async function restoreOver(
  backup: VersionBackup,
  target: RestoreTarget,
  major: Major,
  folder: string,
): Promise<readonly string[]> {
  const report = await checkTarget(target, { ...backup, extensions: backup.facts.extensions });
  const { replacement, id, warnings } = await restore(backup, target, folder, {
    find: (version) => clientsFor(major)(version, backup.madeBy),
  });
  await compareWithManifest(target, replacement, backup.content, backup.facts);
  const { privileges, comment } = backup.facts;
  const kept = oldName(target.database, id);
  const live = report.live?.oid ?? null;
  await swapDatabases({
    ...{ admin: target.admin, live: target.database, liveOid: live, oldName: kept, owner: target.owner },
    ...{ replacement: replacement.name, replacementOid: replacement.oid, privileges, comment },
  });
  if (live !== null) await dropDatabase({ admin: target.admin, name: kept, oid: live });
  return [...report.warnings, ...warnings];
}
