import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import pg from 'pg';

import type { DatabaseFacts, DumpContent } from '../../../catalog/manifest.ts';
import { Secret } from '../../../config/secret.ts';
import { listArchive, readLegacyFacts } from '../../../sources/postgres/archive-sql.ts';
import { findClients, type FindClients } from '../../../sources/postgres/clients.ts';
import { openClient, SESSION_OPTIONS, withClient, type PostgresTarget } from '../../../postgres/connect.ts';
import { withToolEnvironment } from '../../../sources/postgres/tool-environment.ts';
import { createDatabase, discardLoad, extensionSchemas } from '../../../sources/postgres/create-database.ts';
import { readDatabaseFacts, readServerFacts } from '../../../sources/postgres/facts.ts';
import { countRows, readInventory } from '../../../sources/postgres/inventory.ts';
import { loadDatabase } from '../../../sources/postgres/load.ts';
import { openArchive, type ArchiveFormat } from '../../../sources/postgres/open-archive.ts';
import type { Replacement, RestoreTarget } from '../../../sources/postgres/restore-target.ts';
import { createRestoreLogin, ensureRoles } from '../../../sources/postgres/roles.ts';
import { planEntries } from '../../../sources/postgres/table-of-contents.ts';
import { testServers } from '../../servers.ts';

const run = promisify(execFile);
const { postgres } = testServers();

export const admin: PostgresTarget = {
  ...postgres,
  tls: 'off',
  password: new Secret(postgres.password),
  database: 'postgres',
};

export const newId = (): string => randomBytes(4).toString('hex');

/** What one test makes on the server, removed at its end whatever happened. */
export class Bench {
  readonly id = newId();
  readonly #databases: string[] = [];
  readonly #roles: string[] = [];
  folder = '';

  static async open(): Promise<Bench> {
    const bench = new Bench();
    bench.folder = await mkdtemp(join(tmpdir(), 'cofre-restore-'));
    return bench;
  }

  role(name: string): string {
    const full = `${name}_${this.id}`;
    this.#roles.push(full);
    return full;
  }

  database(name: string): string {
    const full = `${name} ${this.id}`;
    this.#databases.push(full);
    return full;
  }

  keep(database: string): string {
    this.#databases.push(database);
    return database;
  }

  async close(): Promise<void> {
    for (const name of this.#databases)
      await sql('postgres', `DROP DATABASE IF EXISTS ${pg.escapeIdentifier(name)} WITH (FORCE)`);
    for (const name of this.#roles) await sql('postgres', `DROP ROLE IF EXISTS ${pg.escapeIdentifier(name)}`);
    await rm(this.folder, { recursive: true, force: true });
  }
}

export async function sql<Row extends pg.QueryResultRow = Record<string, unknown>>(
  database: string,
  text: string,
  login: Partial<PostgresTarget> = {},
): Promise<Row[]> {
  const client = await openClient({ ...admin, ...login, database });
  try {
    // As an application's session: Cofre's own finds only the system's names.
    await client.query(`SET search_path = "$user", public`);
    return (await client.query<Row>(text)).rows;
  } finally {
    await client.end();
  }
}

export interface Backup {
  readonly file: string;
  readonly format: ArchiveFormat;
  readonly facts: DatabaseFacts;
  readonly content: DumpContent;
}

/** Makes an archive with the stock tools, and what a manifest says about it. */
export async function backUp(
  database: string,
  format: ArchiveFormat,
  folder: string,
  on: PostgresTarget = admin,
): Promise<Backup> {
  const client = await openClient({ ...on, database });
  const server = await readServerFacts(client);
  const facts = await readDatabaseFacts(client);
  const { rows } = await client.query<{ schema: string; name: string }>(
    `SELECT n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind = 'r' AND n.nspname !~ '^pg_|^information_schema$'`,
  );
  const counts = await countRows(client, rows);
  const inventory = await readInventory(client);
  await client.end();
  const tables = rows.map((row) => ({
    ...row,
    rows: counts.get(row) ?? 0,
    rawBytes: null,
    rawSha256: null,
    file: null,
  }));
  const content: DumpContent = {
    tables,
    largeObjects: { count: inventory.largeObjects, rawBytes: 0, sha256: null },
    rows: tables.reduce((sum, table) => sum + table.rows, 0),
    rawBytes: 0,
    inventory,
  };
  const { pgDump } = await findClients(server.versionNumber);
  const name = join(folder, `${newId()}.archive`);
  const file = await withToolEnvironment({ ...on, database }, folder, async (environment) => {
    const env = { ...environment, PATH: process.env['PATH'], PGOPTIONS: SESSION_OPTIONS };
    switch (format) {
      case 'staged':
        await run(pgDump, ['-Fd', '-j2', '-Z0', '-f', `${name}.d`], { env });
        for (const member of await readdir(`${name}.d`)) {
          const path = join(`${name}.d`, member);
          if (member.endsWith('.dat') && member !== 'toc.dat' && (await stat(path)).size >= 4096)
            await run('zstd', ['-q', '--rm', path]);
        }
        await run('tar', [
          '-cf',
          name,
          '-C',
          `${name}.d`,
          'toc.dat',
          ...(await readdir(`${name}.d`)).filter((m) => m !== 'toc.dat'),
        ]);
        return name;
      case 'streamed':
        await run(pgDump, ['-Fc', '-Z0', '-f', name], { env });
        await run('zstd', ['-q', '--rm', name]);
        return `${name}.zst`;
      case 'legacy':
        await run(pgDump, ['-Fc', '-Z6', '--no-owner', '--no-acl', '-f', name], { env });
        await run('gzip', [name]);
        return `${name}.gz`;
    }
  });
  return { file, format, facts, content };
}

export interface Restored {
  readonly target: RestoreTarget;
  readonly replacement: Replacement;
  readonly id: string;
  readonly warnings: readonly string[];
}

/** The steps of a restore up to the comparison, as an activity makes them. */
export async function restore(
  backup: Backup,
  target: RestoreTarget,
  folder: string,
  options: {
    id?: string;
    signal?: AbortSignal;
    onPhase?: (phase: string) => void;
    stallMs?: number;
    /** The folder that all restores of a host share. */
    shared?: string;
    find?: FindClients;
  } = {},
): Promise<Restored> {
  const id = options.id ?? newId();
  const scratch = join(folder, `scratch-${newId()}`);
  const context = { signal: options.signal };
  const find = options.find ?? findClients;
  const { pgRestore } = await withClient(target.admin, async (client) =>
    find((await readServerFacts(client)).versionNumber),
  );
  const legacy = backup.format === 'legacy';
  const archive = await openArchive({
    file: backup.file,
    format: backup.format,
    directory: join(scratch, 'archive'),
    jobs: 2,
    ...context,
  });
  const knownRoles = legacy ? [] : backup.facts.roles.map(({ name }) => name);
  const { entries } = await listArchive(pgRestore, archive, { ...context, knownRoles });
  const told = legacy ? await readLegacyFacts(pgRestore, archive, entries, options.shared ?? scratch) : backup.facts;
  const plan = planEntries(entries, {
    extensionSchemas: extensionSchemas(told.extensions),
    privileged: told.privileged,
    trusted: target.trusted,
    legacy,
  });
  const facts = legacy ? null : backup.facts;
  await ensureRoles(target, facts);
  let replacement: Replacement | undefined;
  const login = await createRestoreLogin(target.admin, id);
  try {
    replacement = await createDatabase(target, { id, login, shape: facts, extensions: told.extensions });
    const warnings = await loadDatabase({
      ...{
        target,
        id,
        replacement,
        login,
        pgRestore,
        archive,
        plan,
        facts,
        jobs: 2,
        stallMs: options.stallMs ?? 60_000,
        ...context,
      },
      scratch: options.shared ?? join(scratch, 'load'),
      onProgress: ({ phase }) => options.onPhase?.(phase),
    });
    return { target, replacement, id, warnings };
  } catch (error) {
    await discardLoad(target, { id, made: { login, replacement } });
    throw error;
  }
}

/** Everything about roles that a restore must not change: the server's and one test's own; others run tests too. */
export async function roleList({ id }: Bench): Promise<string> {
  const rows = await sql(
    'postgres',
    `SELECT rolname, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls FROM pg_roles
      WHERE rolname ~ '^(pg_.*|postgres)$' OR rolname LIKE '%${id}%' ORDER BY 1`,
  );
  return JSON.stringify(rows);
}
