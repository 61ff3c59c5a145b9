import pg from 'pg';

import type { DatabaseFacts } from '../../catalog/manifest.ts';
import { CofreError } from '../../errors/error.ts';
import { readAdminRights, readRoleUse, superusersSessions, type AdminRights } from './admin-rights.ts';
import { ownersAfter } from './owners.ts';
import type { ExtensionWanted, RestoreTarget } from './restore-target.ts';
import { findMemberships } from './roles.ts';
import { describeEntry } from './table-of-contents.ts';

const { escapeIdentifier } = pg;

/** What a restore needs and an admin that is no superuser has not, in words; `sql` gives it, null: only a superuser has it. */
export interface Lack {
  readonly what: string;
  readonly sql: string | null;
}

const NAMED = 5;

/**
 * What the admin of `target` lacks for a restore of this backup, as far as can be known before; nothing for a superuser.
 * `facts` null (nothing to restore, or a dump without a manifest): what it lacks for every restore, and the extensions.
 */
export async function findLacks(
  client: pg.Client,
  target: RestoreTarget,
  backup: { readonly facts: DatabaseFacts | null; readonly extensions: readonly ExtensionWanted[] },
): Promise<Lack[]> {
  const rights = await readAdminRights(client);
  if (rights.superuser) return [];
  return [
    ...(await lacksOnServer(client, rights)),
    ...(await lacksOfRoles(client, rights, target, backup.facts)),
    ...(await lacksOfExtensions(client, backup)),
    ...(backup.facts === null ? [] : lacksOfContent(rights, backup.facts)),
  ];
}

/** @throws CofreError `server-denied` that names them all, and the SQL for those that SQL can give. */
export function refuseLacks(user: string, lacks: readonly Lack[]): void {
  if (lacks.length === 0) return;
  const sql = [...new Set(lacks.flatMap((lack) => lack.sql ?? []))];
  const superuser = 'give servers: an admin login with SUPERUSER';
  const rest = lacks.every((lack) => lack.sql !== null) ? `or ${superuser}` : `for the rest ${superuser}`;
  throw new CofreError(
    'server-denied',
    `the admin login ${user} is no superuser, and this restore needs more than it may do: ${lacks.map(({ what }) => what).join('; ')}`,
    { hint: sql.length === 0 ? superuser : `as a superuser: ${sql.join(' ')} ${rest}` },
  );
}

/** What it lacks for every restore; SQL gives all of it. */
export async function lacksOnServer(client: pg.Client, rights: AdminRights): Promise<Lack[]> {
  const user = escapeIdentifier(rights.user);
  const { rows } = await client.query<{ database: string; temporary: boolean }>(
    `SELECT quote_ident(current_database()) AS database, has_database_privilege(current_database(), 'TEMPORARY') AS temporary`,
  );
  const database = rows[0]?.database ?? '';
  return [
    ...(rights.createsDatabases ? [] : [{ what: 'to create databases', sql: `ALTER ROLE ${user} CREATEDB;` }]),
    ...(rights.createsRoles ? [] : [{ what: 'to create roles', sql: `ALTER ROLE ${user} CREATEROLE;` }]),
    ...(rights.endsSessions
      ? []
      : [{ what: 'to end the sessions of others', sql: `GRANT pg_signal_backend TO ${user};` }]),
    ...(rights.inherits || rights.versionNumber >= 160_000
      ? []
      : [{ what: 'to inherit the rights of roles', sql: `ALTER ROLE ${user} INHERIT;` }]),
    ...(rows[0]?.temporary === true
      ? []
      : [{ what: `to try a locale in ${database}`, sql: `GRANT TEMPORARY ON DATABASE ${database} TO ${user};` }]),
  ];
}

/** Roles that exist: the admin acts for those that own something, and administers those that get settings or memberships. */
async function lacksOfRoles(
  client: pg.Client,
  rights: AdminRights,
  target: RestoreTarget,
  facts: DatabaseFacts | null,
): Promise<Lack[]> {
  const acting = new Set(await ownersAfter(client, target, facts));
  const { missing } = await findMemberships(client, facts?.memberships ?? []);
  // What takes a superuser is refused by its own name, unless a restore can do without it.
  const settings = (facts?.settings ?? []).flatMap(({ role, superuser }) => (superuser ? [] : (role ?? [])));
  const administering = new Set([...missing.map(({ role }) => role), ...settings]);
  const roles = await readRoleUse(client, rights, [...new Set([...acting, ...administering])]);
  return roles.flatMap(({ name, superuser, acts, administers }): Lack[] => {
    if (administers || (acts && !administering.has(name))) return [];
    const why = acting.has(name) ? 'owns what is replaced or restored' : 'gets members or settings';
    if (superuser) return [{ what: `to act for ${name}, a superuser, which ${why}`, sql: null }];
    const grant = `GRANT ${escapeIdentifier(name)} TO ${escapeIdentifier(rights.user)}`;
    const how = rights.versionNumber >= 160_000 ? 'ADMIN TRUE, INHERIT TRUE, SET TRUE' : 'ADMIN OPTION';
    return [{ what: `to act for the role ${name}, which ${why}`, sql: `${grant} WITH ${how};` }];
  });
}

async function lacksOfExtensions(
  client: pg.Client,
  backup: { readonly facts: DatabaseFacts | null; readonly extensions: readonly ExtensionWanted[] },
): Promise<Lack[]> {
  // Whether the owner of a database may make an extension is said from 13 on; before, there was no such thing.
  const { rows } = await client.query<{ name: string; ofSuperusers: boolean; trusted: boolean }>(
    `SELECT name, bool_or(superuser) AS "ofSuperusers", bool_and(coalesce((to_jsonb(v) ->> 'trusted')::bool, false)) AS trusted
       FROM pg_available_extension_versions v WHERE name = ANY ($1) AND name <> 'plpgsql' GROUP BY name ORDER BY name`,
    [backup.extensions.map(({ name }) => name)],
  );
  const untrusted = rows.filter(({ ofSuperusers, trusted }) => ofSuperusers && !trusted).map(({ name }) => name);
  // What a trusted extension makes belongs to a superuser all the same.
  const withTables = rows.filter(
    ({ name, ofSuperusers, trusted }) =>
      ofSuperusers && trusted && (backup.facts?.needs?.extensionTables ?? []).includes(name),
  );
  const lacksLanguage = backup.facts !== null && !backup.extensions.some(({ name }) => name === 'plpgsql');
  return [
    ...only('to create the extension', untrusted),
    ...only(
      'to fill the tables of the extension',
      withTables.map(({ name }) => name),
    ),
    ...(lacksLanguage ? [{ what: 'to remove the extension plpgsql, which the backup has not', sql: null }] : []),
  ];
}

function lacksOfContent(rights: AdminRights, { needs, privileged, owners }: DatabaseFacts): Lack[] {
  const predefined = (owners ?? []).filter(({ owner }) => owner.startsWith('pg_'));
  return [
    ...only('to create', privileged.map(describeEntry)),
    ...(rights.givesBypass
      ? []
      : only('to bypass row-level security, which holds for its owner in', needs?.forcedRowSecurity ?? []).map(
          (lack) => ({
            ...lack,
            sql: rights.versionNumber >= 160_000 ? `ALTER ROLE ${escapeIdentifier(rights.user)} BYPASSRLS;` : null,
          }),
        )),
    ...only('to give back rights that others than the owner granted on', needs?.superusersRights ?? []),
    ...only(
      "to give the server's own roles",
      predefined.map(({ type, identity }) => `${type} ${identity}`),
    ),
    ...only('to count the rows of what its owner may not read,', needs?.closedToOwners ?? []),
    ...(needs?.changedPublic === true && rights.versionNumber < 150_000
      ? [{ what: 'to change the schema public, which belongs to a superuser before PostgreSQL 15', sql: null }]
      : []),
  ];
}

function only(what: string, names: readonly string[]): Lack[] {
  if (names.length === 0) return [];
  const more = names.length > NAMED ? ` and ${names.length - NAMED} more` : '';
  return [{ what: `${what} ${names.slice(0, NAMED).join(', ')}${more}`, sql: null }];
}

/**
 * @throws CofreError `server-denied` when superusers work in the database that would be replaced, and the admin, being
 * none, could not end their sessions for the swap.
 */
export async function refuseSuperusersSessions(client: pg.Client, target: RestoreTarget): Promise<void> {
  const sessions = await superusersSessions(client, target.database);
  if (sessions.length === 0) return;
  throw new CofreError(
    'server-denied',
    `superusers work in ${target.database}, and ${target.admin.user} may not end their sessions: ${sessions.slice(0, NAMED).join(', ')}`,
    { hint: 'end those sessions, then restore again; or give servers: an admin login with SUPERUSER' },
  );
}
