import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import pg from 'pg';

import type { DatabaseFacts } from '../../catalog/manifest.ts';
import { Secret } from '../../config/secret.ts';
import { messageOf, nativeCode } from '../../errors/error.ts';
import { SQLSTATE, withClient, type PostgresTarget } from '../../postgres/connect.ts';
import { restoreLoginName, type RestoreTarget } from './restore-target.ts';
import { scramVerifier } from './scram.ts';

const { escapeIdentifier, escapeLiteral } = pg;

/** Names one lock for everything Cofre changes about a server's roles. */
const ROLES_LOCK = 0x636f_6672;
const ATTEMPTS = 20;
const DEPENDENT_OBJECTS_STILL_EXIST = '2BP01';

export interface RolesResult {
  readonly created: readonly string[];
  /** Memberships that were not replayed because they would give more than the rights of an application. */
  readonly leftOut: readonly { readonly role: string; readonly member: string }[];
}

type RoleNames = Pick<DatabaseFacts, 'roles' | 'memberships'>;

/**
 * Creates the roles that are missing; one that exists is never changed. The application's logins get their
 * passwords, the owner and the other roles that the backup names cannot log in and have no attribute that matters.
 * May run any number of times, also at once.
 */
export async function ensureRoles(target: RestoreTarget, facts: RoleNames | null): Promise<RolesResult> {
  const logins = new Map(target.roles.map((role) => [role.name, role.password]));
  const names = [...new Set([...logins.keys(), target.owner, ...(facts?.roles ?? []).map(({ name }) => name)])];
  return withRolesLock(target.admin, async (client) => {
    const created: string[] = [];
    for (const name of names) {
      // Predefined roles are the server's own: an older server may lack one, and nobody may create it.
      if (name.startsWith('pg_') || (await exists(client, name))) continue;
      const password = logins.get(name);
      const how = password === undefined ? 'NOLOGIN' : `LOGIN PASSWORD ${escapeLiteral(scramVerifier(password))}`;
      const recorded = facts?.roles.find((role) => role.name === name);
      const inherit = recorded?.inherit === false ? 'NOINHERIT' : 'INHERIT';
      const limit = `CONNECTION LIMIT ${Math.max(recorded?.connectionLimit ?? -1, -1)}`;
      await patiently(
        () => client.query(`CREATE ROLE ${escapeIdentifier(name)} ${how} ${inherit} ${limit}`),
        SQLSTATE.duplicateObject,
      );
      created.push(name);
    }
    return { created, leftOut: await replayMemberships(client, facts) };
  });
}

async function replayMemberships(client: pg.Client, facts: RoleNames | null): Promise<RolesResult['leftOut']> {
  const leftOut: { role: string; member: string }[] = [];
  for (const { role, member, admin } of facts?.memberships ?? []) {
    const { rows } = await client.query<{ has: boolean; harmless: boolean }>(
      `SELECT EXISTS (SELECT FROM pg_auth_members a WHERE a.roleid = r.oid AND a.member = m.oid) AS has,
              NOT r.rolsuper AND NOT r.rolcreaterole AND NOT r.rolcreatedb AND NOT r.rolreplication
                AND NOT r.rolbypassrls AND r.rolname NOT LIKE 'pg\\_%' AS harmless
         FROM pg_roles r, pg_roles m WHERE r.rolname = $1 AND m.rolname = $2`,
      [role, member],
    );
    if (rows[0]?.has === true) continue;
    if (rows[0]?.harmless !== true) {
      leftOut.push({ role, member });
    } else {
      const option = admin ? ' WITH ADMIN OPTION' : '';
      await patiently(() => client.query(`GRANT ${escapeIdentifier(role)} TO ${escapeIdentifier(member)}${option}`));
    }
  }
  return leftOut;
}

/** The login that restores, with a password that only this process knows. */
export interface RestoreLogin {
  readonly user: string;
  readonly password: Secret;
  /** Tells the attempt that made it from its successor, which has the same user. */
  readonly attempt: string;
}

/**
 * Makes the run's own login, or takes it over from an attempt that died: with another password, so that a
 * frozen attempt that wakes up can open no session any more, and with the sessions it had ended.
 * Not a superuser, because what it restores runs code of others (functions in indexes, checks, generated columns);
 * BYPASSRLS, because foreign keys and materialized views must see every row.
 */
export async function createRestoreLogin(admin: PostgresTarget, id: string): Promise<RestoreLogin> {
  const user = restoreLoginName(id);
  const password = new Secret(randomBytes(32).toString('base64url'));
  const attempt = randomBytes(8).toString('hex');
  await withRolesLock(admin, async (client) => {
    const attributes = `LOGIN BYPASSRLS NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD ${escapeLiteral(scramVerifier(password))}`;
    const { rows } = await client.query<{ until: string }>(`SELECT (now() + interval '1 day')::text AS until`);
    const until = `VALID UNTIL ${escapeLiteral(rows[0]?.until ?? '')}`;
    const verb = (await exists(client, user)) ? 'ALTER' : 'CREATE';
    await patiently(() => client.query(`${verb} ROLE ${escapeIdentifier(user)} ${attributes} ${until}`));
    await patiently(() => client.query(`COMMENT ON ROLE ${escapeIdentifier(user)} IS ${escapeLiteral(attempt)}`));
    await client.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1', [user]);
  });
  return { user, password, attempt };
}

/**
 * Removes the run's login; gone already is success. While anything on the server still depends on it (the database
 * of another attempt of the same run), or another attempt than `made` took it over, it stays and the answer is false.
 */
export async function dropRestoreLogin(admin: PostgresTarget, id: string, made?: RestoreLogin): Promise<boolean> {
  const user = restoreLoginName(id);
  return withRolesLock(admin, async (client) => {
    const { rows } = await client.query<{ attempt: string | null }>(
      `SELECT shobj_description(oid, 'pg_authid') AS attempt FROM pg_roles WHERE rolname = $1`,
      [user],
    );
    if (rows[0] === undefined) return true;
    if (made !== undefined && rows[0].attempt !== made.attempt) return false;
    await client.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1', [user]);
    try {
      await patiently(() => client.query(`DROP ROLE IF EXISTS ${escapeIdentifier(user)}`));
      return true;
    } catch (error) {
      if (nativeCode(error) === DEPENDENT_OBJECTS_STILL_EXIST) return false;
      throw error;
    }
  });
}

async function exists(client: pg.Client, name: string): Promise<boolean> {
  return (await client.query('SELECT FROM pg_roles WHERE rolname = $1', [name])).rows.length > 0;
}

/** One at a time among all of Cofre's runs on this server. */
function withRolesLock<T>(admin: PostgresTarget, use: (client: pg.Client) => Promise<T>): Promise<T> {
  return withClient(admin, async (client) => {
    await client.query(`SET lock_timeout = '60s'`);
    await client.query('SELECT pg_advisory_lock($1)', [ROLES_LOCK]);
    return use(client);
  });
}

/**
 * Others (an environment's own scripts) change roles too, without our lock: PostgreSQL then answers with a
 * duplicate key or `tuple concurrently updated`. Trying again, or finding it done, is the right answer to both.
 */
async function patiently(statement: () => Promise<unknown>, doneCode?: string): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await statement();
      return;
    } catch (error) {
      const code = nativeCode(error);
      if (code !== undefined && code === doneCode) return;
      const raced =
        code === SQLSTATE.uniqueViolation ||
        (code === SQLSTATE.internalError && /tuple concurrently (updated|deleted)/.test(messageOf(error)));
      if (!raced || attempt === ATTEMPTS) throw error;
      await sleep(20 + Math.random() * 80);
    }
  }
}
