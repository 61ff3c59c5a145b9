import type pg from 'pg';

import { CofreError } from '../errors/error.ts';
import { openClient, type PostgresTarget } from '../postgres/connect.ts';
import { toCatalogError } from './errors.ts';
import { grantRuntime } from './grants.ts';
import { readMigrations, type Migration } from './migrations.ts';
import { newerCatalog } from './open.ts';

/** Any number that is always this one: 'cofre' in ASCII. */
const LOCK = 0x636f667265;
const LOCK_TIMEOUT_MS = 60_000;

/**
 * Brings the catalog's schema to this Cofre's version, as the owner of the database, and grants `runtimeUser` what it
 * needs. May be called any number of times and at the same time: the second waits for the first and finds nothing to do.
 * @throws CofreError `catalog-version` when the catalog is newer, or an applied migration has another text than ours.
 */
export async function migrateCatalog(
  target: PostgresTarget,
  { runtimeUser }: { runtimeUser: string },
): Promise<{ from: number; to: number }> {
  const migrations = await readMigrations();
  const client = await openClient(target).catch((error: unknown) => {
    // The catalog's server has an error code of its own, because its absence has an exit code of its own.
    throw toCatalogError(error instanceof CofreError ? (error.cause ?? error) : error, target);
  });
  try {
    await client.query(`SET lock_timeout = ${LOCK_TIMEOUT_MS}`);
    // The lock belongs to the session: a process that is killed gives it back.
    await client.query('SELECT pg_advisory_lock($1)', [LOCK]);
    await createMigrationsTable(client);
    const from = await requireKnown(client, migrations);
    for (const migration of migrations.slice(from)) await apply(client, migration);
    await inTransaction(client, () => grantRuntime(client, runtimeUser));
    return { from, to: migrations.length };
  } catch (error) {
    throw toCatalogError(error, target);
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function createMigrationsTable(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ found: boolean }>(
    "SELECT to_regclass('cofre.migrations') IS NOT NULL AS found",
  );
  if (rows[0]?.found === true) return;
  await inTransaction(client, async () => {
    await client.query('CREATE SCHEMA IF NOT EXISTS cofre');
    await client.query(
      `CREATE TABLE cofre.migrations (
         version integer PRIMARY KEY,
         name text NOT NULL,
         sha256 text NOT NULL,
         applied_at timestamptz NOT NULL DEFAULT now()
       )`,
    );
  });
}

/** The version that is applied, once it is certain that its migrations are the ones we know. */
async function requireKnown(client: pg.Client, known: readonly Migration[]): Promise<number> {
  const { rows } = await client.query<{ version: number; name: string; sha256: string }>(
    'SELECT version, name, sha256 FROM cofre.migrations ORDER BY version',
  );
  const newest = rows.at(-1)?.version ?? 0;
  if (newest > known.length) throw newerCatalog(newest, known.length);
  for (const [index, { version, name, sha256 }] of rows.entries()) {
    const migration = known[index];
    if (migration?.version === version && migration.sha256 === sha256) continue;
    throw new CofreError(
      'catalog-version',
      `the catalog's migration ${version} (${name}) has another text than this Cofre's`,
      {
        hint: 'an applied migration never changes: use the release of Cofre that made this catalog, or a newer one',
      },
    );
  }
  return newest;
}

async function apply(client: pg.Client, { version, name, sql, sha256 }: Migration): Promise<void> {
  // With its row in one transaction: a migration is applied and recorded, or neither.
  await inTransaction(client, async () => {
    await client.query(sql);
    await client.query('INSERT INTO cofre.migrations (version, name, sha256) VALUES ($1, $2, $3)', [
      version,
      name,
      sha256,
    ]);
  });
}

async function inTransaction(client: pg.Client, work: () => Promise<void>): Promise<void> {
  await client.query('BEGIN');
  try {
    await work();
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}
