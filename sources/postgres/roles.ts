import { randomBytes } from 'node:crypto';

import pg from 'pg';

import type { DatabaseFacts, Membership } from '../../catalog/manifest.ts';
import { Secret } from '../../config/secret.ts';
import { nativeCode } from '../../errors/error.ts';
import { SQLSTATE, withClient, type PostgresTarget } from '../../postgres/connect.ts';
import { actFor, readAdminRights } from './admin-rights.ts';
import { ownersAfter } from './owners.ts';
import { patiently } from './patiently.ts';
import { restoreLoginName, type RestoreTarget } from './restore-target.ts';
import { scramVerifier } from './scram.ts';
import { takeServerLock } from './server-lock.ts';

const { escapeIdentifier, escapeLiteral } = pg;

const DEPENDENT_OBJECTS_STILL_EXIST = '2BP01';

export interface RolesResult {
  readonly created: readonly string[];
  readonly leftOut: readonly Membership[];
}

type RoleNames = Pick<DatabaseFacts, 'roles' | 'memberships' | 'owners' | 'needs'>;

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
    const leftOut = await replayMemberships(client, facts);
    await actFor(client, await ownersAfter(client, target, facts));
    return { created, leftOut };
  });
}

/** In words, for a plan and a report. */
export function describeLeftOut({ role, member }: Membership): string {
  return `${member} is not made a member of ${role}: it would give more than an application's rights`;
}

/**
 * The memberships of the source that this server has not: those that a restore makes, and those that it leaves out,
 * because they would give more than the rights of an application, be it through other roles.
 */
export async function findMemberships(
  client: pg.Client,
  memberships: readonly Membership[],
): Promise<{ missing: Membership[]; leftOut: Membership[] }> {
  const missing: Membership[] = [];
  const leftOut: Membership[] = [];
  for (const membership of memberships) {
    const { rows } = await client.query<{ has: boolean; harmful: boolean }>(
      `SELECT EXISTS (SELECT FROM pg_auth_members a JOIN pg_roles m ON m.oid = a.member
                       WHERE a.roleid = r.oid AND m.rolname = $2) AS has,
              EXISTS (SELECT FROM pg_roles p WHERE pg_has_role(r.oid, p.oid, 'member') AND (p.rolsuper OR p.rolcreaterole
                OR p.rolcreatedb OR p.rolreplication OR p.rolbypassrls OR p.rolname LIKE 'pg\\_%')) AS harmful
         FROM pg_roles r WHERE r.rolname = $1`,
      [membership.role, membership.member],
    );
    if (rows[0]?.has === true) continue;
    // A predefined role that this server lacks is nobody's; any other that is missing is made without any attribute.
    if (rows[0]?.harmful ?? membership.role.startsWith('pg_')) leftOut.push(membership);
    else missing.push(membership);
  }
  return { missing, leftOut };
}

async function replayMemberships(client: pg.Client, facts: RoleNames | null): Promise<RolesResult['leftOut']> {
  const { missing, leftOut } = await findMemberships(client, facts?.memberships ?? []);
  for (const { role, member, admin, inherit, set } of missing) {
    const options = [
      ...(admin ? ['ADMIN OPTION'] : []),
      ...(inherit === undefined ? [] : [`INHERIT ${inherit}`]),
      ...(set === undefined ? [] : [`SET ${set}`]),
    ];
    const withOptions = options.length === 0 ? '' : ` WITH ${options.join(', ')}`;
    await patiently(() => client.query(`GRANT ${escapeIdentifier(role)} TO ${escapeIdentifier(member)}${withOptions}`));
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
 * BYPASSRLS, because materialized views and checks must see every row. An admin that may not give that restores only
 * what does not need it (`findLacks`): the login owns the tables, and their policies do not hold for owners.
 */
export async function createRestoreLogin(admin: PostgresTarget, id: string): Promise<RestoreLogin> {
  const user = restoreLoginName(id);
  const password = new Secret(randomBytes(32).toString('base64url'));
  const attempt = randomBytes(8).toString('hex');
  await withRolesLock(admin, async (client) => {
    const { superuser, givesBypass } = await readAdminRights(client);
    const attributes = `${givesBypass ? 'BYPASSRLS' : 'NOBYPASSRLS'} NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION`;
    const { rows } = await client.query<{ until: string }>(`SELECT (now() + interval '1 day')::text AS until`);
    const login = `LOGIN PASSWORD ${escapeLiteral(scramVerifier(password))} VALID UNTIL ${escapeLiteral(rows[0]?.until ?? '')}`;
    const taken = await exists(client, user);
    // Only a superuser may alter these, and the attempt before made them the same.
    const all = taken && !superuser ? login : `${login} ${attributes}`;
    await patiently(() => client.query(`${taken ? 'ALTER' : 'CREATE'} ROLE ${escapeIdentifier(user)} ${all}`));
    await actFor(client, [user]);
    await speakEnglish(client, user);
    await patiently(() => client.query(`COMMENT ON ROLE ${escapeIdentifier(user)} IS ${escapeLiteral(attempt)}`));
    await client.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1', [user]);
  });
  return { user, password, attempt };
}

/** What pg_restore repeats of the server is understood by its English words; only a superuser may decide it. */
async function speakEnglish(client: pg.Client, user: string): Promise<void> {
  try {
    await patiently(() => client.query(`ALTER ROLE ${escapeIdentifier(user)} SET lc_messages TO 'C'`));
  } catch (error) {
    if (nativeCode(error) !== SQLSTATE.insufficientPrivilege) throw error;
  }
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
    await takeServerLock(client, 'roles');
    return use(client);
  });
}
