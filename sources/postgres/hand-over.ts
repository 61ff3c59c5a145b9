import pg from 'pg';

import type { DatabaseFacts } from '../../catalog/manifest.ts';
import { readAdminRights } from './admin-rights.ts';
import { ownersAfter, restoreOwners } from './owners.ts';
import { type Replacement, type RestoreTarget } from './restore-target.ts';
import type { RestoreLogin } from './roles.ts';

const { escapeIdentifier } = pg;

/**
 * Gives what the login of a restore made to the environment's owner, and what others owned at the source back to them.
 * The database itself is the admin's until the swap: who owns a database may connect to it. Answers with warnings.
 */
export async function handOver(
  client: pg.Client,
  request: {
    readonly target: RestoreTarget;
    readonly replacement: Replacement;
    readonly login: RestoreLogin;
    readonly facts: DatabaseFacts | null;
  },
): Promise<string[]> {
  const { target, facts } = request;
  const database = escapeIdentifier(request.replacement.name);
  const from = escapeIdentifier(request.login.user);
  const { superuser } = await readAdminRights(client);
  const owners = superuser ? [] : await ownersAfter(client, target, facts);
  await client.query(`ALTER DATABASE ${database} OWNER TO CURRENT_USER`);
  await client.query('BEGIN');
  await lendCreate(client, database, owners);
  await client.query(`REASSIGN OWNED BY ${from} TO ${escapeIdentifier(target.owner)}`);
  if (superuser) await givePublicBack(client);
  // What is left are the rights it was lent.
  await client.query(`DROP OWNED BY ${from}`);
  await client.query('COMMIT');
  const warnings = facts === null ? [] : await restoreOwners(client, target, facts);
  await takeCreateBack(client, owners);
  await resetDatabase(client, request.replacement);
  return warnings;
}

/**
 * Before 15 a new database's schema public belongs to the superuser that `initdb` made, and the login had it for the load.
 * Whom else it belonged to at the source, its manifest says.
 */
async function givePublicBack(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ owner: string }>(
    `SELECT quote_ident(pg_get_userbyid(10)) AS owner WHERE current_setting('server_version_num')::int < 150000`,
  );
  for (const { owner } of rows) await client.query(`ALTER SCHEMA public OWNER TO ${owner}`);
}

/** Unless a superuser gives it, an object goes only to who could create it where it is. */
async function lendCreate(client: pg.Client, database: string, owners: readonly string[]): Promise<void> {
  if (owners.length === 0) return;
  const to = owners.map(escapeIdentifier).join(', ');
  await client.query(`GRANT CREATE ON DATABASE ${database} TO ${to}`);
  for (const { schema } of await readSchemas(client)) await client.query(`GRANT CREATE ON SCHEMA ${schema} TO ${to}`);
}

/**
 * The source's own rights come after this, so whatever is there was lent; but an owner's own is not. That on the
 * database goes with everything else there.
 */
async function takeCreateBack(client: pg.Client, owners: readonly string[]): Promise<void> {
  if (owners.length === 0) return;
  for (const { schema, owner } of await readSchemas(client)) {
    const others = owners.filter((name) => name !== owner).map(escapeIdentifier);
    if (others.length > 0) await client.query(`REVOKE CREATE ON SCHEMA ${schema} FROM ${others.join(', ')}`);
  }
}

/** The schemas that this session can give rights on. */
async function readSchemas(client: pg.Client): Promise<{ schema: string; owner: string }[]> {
  const { rows } = await client.query<{ schema: string; owner: string }>(
    `SELECT quote_ident(nspname) AS schema, pg_get_userbyid(nspowner) AS owner FROM pg_namespace
      WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND pg_has_role(nspowner, 'USAGE')`,
  );
  return rows;
}

/** The login owned the database, so code of the source's that ran as it may have changed that, too. */
async function resetDatabase(client: pg.Client, replacement: Replacement): Promise<void> {
  const database = escapeIdentifier(replacement.name);
  const { rows } = await client.query<{ grantee: string }>(
    `SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS grantee
       FROM pg_database d CROSS JOIN aclexplode(d.datacl) a WHERE d.oid = $1 AND a.grantee <> d.datdba`,
    [replacement.oid],
  );
  for (const { grantee } of rows) await client.query(`REVOKE ALL ON DATABASE ${database} FROM ${grantee} CASCADE`);
  await client.query(`ALTER DATABASE ${database} RESET ALL`);
  await client.query(`ALTER DATABASE ${database} IS_TEMPLATE false`);
}
