import { setTimeout as sleep } from 'node:timers/promises';

import pg from 'pg';

import { CofreError, nativeCode } from '../../errors/error.ts';
import { IS_SUPERUSER } from './admin-rights.ts';
import { SQLSTATE, withClient, type PostgresTarget } from '../../postgres/connect.ts';
import { takeServerLock } from './server-lock.ts';

const { escapeIdentifier } = pg;

const GIVE_UP_AFTER_MS = 30_000;

/**
 * Drops a database, with the sessions in it, only if it is still the one that was meant: by name and by OID.
 * One that is gone is success. @throws CofreError `refused` when the name belongs to another database now, or while it has
 * subscriptions.
 */
export async function dropDatabase(request: { admin: PostgresTarget; name: string; oid: number }): Promise<void> {
  await withClient(request.admin, async (client) => {
    await client.query(`SET lock_timeout = '60s'`);
    await takeServerLock(client, 'databases');
    const { rows } = await client.query<{ oid: number }>(
      'SELECT oid::int8::float8 AS oid FROM pg_database WHERE datname = $1',
      [request.name],
    );
    if (rows[0] === undefined) return;
    if (rows[0].oid !== request.oid) {
      throw new CofreError(
        'refused',
        `the database ${request.name} is another one than was recorded: it is not dropped`,
      );
    }
    await requireNoSubscription(client, request);
    await forceDrop(client, request.name, request.oid);
  });
}

/** A replaced database may have them; what they are at the publisher is not ours to remove. */
async function requireNoSubscription(client: pg.Client, { name, oid }: { name: string; oid: number }): Promise<void> {
  const { rows } = await client.query<{ name: string }>(
    'SELECT quote_ident(subname) AS name FROM pg_subscription WHERE subdbid = $1',
    [oid],
  );
  if (rows.length === 0) return;
  const names = rows.map((row) => row.name).join(', ');
  throw new CofreError('refused', `the database ${name} cannot be dropped while it has subscriptions: ${names}`, {
    hint: `open it (ALTER DATABASE ${escapeIdentifier(name)} ALLOW_CONNECTIONS true) and remove them there: ALTER SUBSCRIPTION … DISABLE, ALTER SUBSCRIPTION … SET (slot_name = NONE), DROP SUBSCRIPTION …; then drop it by hand`,
  });
}

/**
 * Removes the subscriptions of a database that a restore made, for none may be dropped with one in it. They were never
 * enabled, and what they name at the publisher belongs to the subscriptions of the source.
 */
export async function dropSubscriptions(admin: PostgresTarget, database: { name: string; oid: number }): Promise<void> {
  const found = await withClient(admin, (client) =>
    client.query<{ name: string }>('SELECT quote_ident(subname) AS name FROM pg_subscription WHERE subdbid = $1', [
      database.oid,
    ]),
  );
  if (found.rows.length === 0) return;
  await withClient({ ...admin, database: database.name }, async (client) => {
    for (const { name } of found.rows) {
      await client.query(`ALTER SUBSCRIPTION ${name} DISABLE`);
      await client.query(`ALTER SUBSCRIPTION ${name} SET (slot_name = NONE)`);
      await client.query(`DROP SUBSCRIPTION ${name}`);
    }
  });
}

async function forceDrop(client: pg.Client, name: string, oid: number): Promise<void> {
  const { rows } = await client.query<{ version: string }>(`SELECT current_setting('server_version_num') AS version`);
  const force = Number(rows[0]?.version) >= 130_000 ? ' WITH (FORCE)' : '';
  for (const deadline = Date.now() + GIVE_UP_AFTER_MS; ; await sleep(50)) {
    if (force === '') await endSessions(client, [oid]);
    try {
      // A template cannot be dropped, and whoever owned the database may have made it one. Else it is left as it is: one whose
      // removal was begun, when the server crashed in its middle, may only be dropped.
      if (await isTemplate(client, oid))
        await client.query(`ALTER DATABASE ${escapeIdentifier(name)} IS_TEMPLATE false`);
      await client.query(`DROP DATABASE IF EXISTS ${escapeIdentifier(name)}${force}`);
      return;
    } catch (error) {
      if (nativeCode(error) !== SQLSTATE.objectInUse || Date.now() > deadline) throw error;
    }
  }
}

async function isTemplate(client: pg.Client, oid: number): Promise<boolean> {
  const { rows } = await client.query('SELECT FROM pg_database WHERE oid = $1 AND datistemplate', [oid]);
  return rows.length > 0;
}

/** Ends the sessions in databases, of those whom this session may end: one of a superuser would fail the others with it. */
export async function endSessions(client: pg.Client, oids: readonly number[]): Promise<void> {
  await client.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datid = ANY($1::oid[])
        AND (${IS_SUPERUSER} OR usesysid IN (SELECT oid FROM pg_roles WHERE NOT rolsuper))`,
    [oids],
  );
}
