import pg from 'pg';

import { patiently } from './patiently.ts';

const { escapeIdentifier } = pg;

/** What an admin login may do on its server. */
export interface AdminRights {
  readonly user: string;
  readonly versionNumber: number;
  readonly superuser: boolean;
  readonly createsDatabases: boolean;
  readonly createsRoles: boolean;
  /** Before 16 the rights of the roles that it is a member of are its own only with INHERIT. */
  readonly inherits: boolean;
  /** Logins that it makes may bypass row-level security. */
  readonly givesBypass: boolean;
  readonly endsSessions: boolean;
}

/** SQL: this session is a superuser's. */
export const IS_SUPERUSER = `current_setting('is_superuser')::bool`;

export async function readAdminRights(client: pg.Client): Promise<AdminRights> {
  const { rows } = await client.query<AdminRights>(
    `SELECT rolname AS user, current_setting('server_version_num')::int AS "versionNumber", ${IS_SUPERUSER} AS superuser,
            rolcreatedb AS "createsDatabases", rolcreaterole AS "createsRoles", rolinherit AS inherits,
            rolsuper OR rolbypassrls AND current_setting('server_version_num')::int >= 160000 AS "givesBypass",
            pg_has_role('pg_signal_backend', 'USAGE') AS "endsSessions"
       FROM pg_roles WHERE rolname = current_user`,
  );
  const [rights] = rows;
  if (rights === undefined) throw new Error('the login of this session is no role');
  return rights;
}

/** A role as this session can use it; a superuser can be everybody. */
export interface RoleUse {
  readonly name: string;
  readonly superuser: boolean;
  /** Its objects can be given away and taken, and its rights are this session's. */
  readonly acts: boolean;
  /** Memberships in it can be granted, and its settings changed. */
  readonly administers: boolean;
}

export async function readRoleUse(
  client: pg.Client,
  { versionNumber, createsRoles }: AdminRights,
  names: readonly string[],
): Promise<RoleUse[]> {
  // Before 16 whoever may create roles administers every one that is no superuser, and SET goes with each membership.
  const by16 = versionNumber >= 160_000;
  const { rows } = await client.query<RoleUse>(
    `SELECT rolname AS name, rolsuper AS superuser,
            pg_has_role(oid, 'USAGE') AND pg_has_role(oid, '${by16 ? 'SET' : 'MEMBER'}') AS acts,
            ${IS_SUPERUSER} OR pg_has_role(oid, 'MEMBER WITH ADMIN OPTION') OR ($2 AND NOT rolsuper) AS administers
       FROM pg_roles WHERE rolname = ANY ($1) ORDER BY rolname`,
    [names, createsRoles && !by16],
  );
  return rows;
}

/**
 * Lets an admin that is no superuser act for roles: it makes itself a member of those that it is not, which it stays,
 * because it will drop or replace what belongs to them. Never the other way round: no role becomes a member of the admin.
 */
export async function actFor(client: pg.Client, names: readonly string[]): Promise<void> {
  const rights = await readAdminRights(client);
  if (rights.superuser) return;
  for (const { name, acts, superuser } of await readRoleUse(client, rights, names)) {
    if (acts || superuser) continue;
    const how = rights.versionNumber >= 160_000 ? ' WITH INHERIT TRUE, SET TRUE' : '';
    await patiently(() => client.query(`GRANT ${escapeIdentifier(name)} TO CURRENT_USER${how}`));
  }
}

/** The sessions in a database that this one may not end, in words: those of superusers, unless it is one itself. */
export async function superusersSessions(client: pg.Client, database: string): Promise<string[]> {
  const { rows } = await client.query<{ session: string }>(
    `SELECT format('%s (process %s%s)', a.usename, a.pid, ', ' || nullif(a.application_name, '')) AS session
       FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid
      WHERE r.rolsuper AND NOT ${IS_SUPERUSER} AND a.datname = $1 ORDER BY a.pid`,
    [database],
  );
  return rows.map(({ session }) => session);
}
