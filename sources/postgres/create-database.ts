import pg from 'pg';

import { CofreError } from '../../errors/error.ts';
import { SQLSTATE, sqlStateOf, withClient, type PostgresTarget } from '../../postgres/connect.ts';
import { readAdminRights } from './admin-rights.ts';
import { dropDatabase, dropSubscriptions } from './drop-database.ts';
import {
  replacementName,
  restoreLoginName,
  restoreStatement,
  withAdminIn,
  type DatabaseShape,
  type ExtensionWanted,
  type Replacement,
  type RestoreTarget,
} from './restore-target.ts';
import { dropRestoreLogin, type RestoreLogin } from './roles.ts';

const { escapeIdentifier, escapeLiteral } = pg;

/**
 * Creates the run's new database under its temporary name: empty, closed to everybody but the run's own login and
 * superusers, with its extensions. What an attempt that died left under that name is dropped first: a restore always
 * starts with an empty database, because rows loaded twice would be there twice.
 * `shape` null (a dump without a manifest) takes that of the live database, else UTF8 in the server's own locale.
 */
export async function createDatabase(
  target: RestoreTarget,
  request: { id: string; login: RestoreLogin; shape: DatabaseShape | null; extensions: readonly ExtensionWanted[] },
): Promise<Replacement> {
  const { id, login } = request;
  const name = replacementName(target.database, id);
  await dropLeftover(target.admin, name, id, { login });
  const quoted = escapeIdentifier(name);
  const oid = await withClient(target.admin, async (client) => {
    const version = await versionOf(client);
    const shape = request.shape ?? (await readShape(client, target.database, version));
    // Closed from its first instant: until CONNECT is taken from PUBLIC, not even a superuser may come in.
    const create = `CREATE DATABASE ${quoted} TEMPLATE template0 OWNER ${escapeIdentifier(login.user)}
      ALLOW_CONNECTIONS false ${shape === null ? `ENCODING 'UTF8'` : shapeClauses(shape, version)}`;
    await restoreStatement(client, `the database ${name} cannot be created`, create).catch((error: unknown) => {
      throw isTaken(error) ? otherAttempt(name, error) : error;
    });
    await client.query(`COMMENT ON DATABASE ${quoted} IS ${escapeLiteral(markOf(id))}`);
    await client.query(`REVOKE CONNECT, TEMPORARY ON DATABASE ${quoted} FROM PUBLIC`);
    await client.query(`ALTER DATABASE ${quoted} ALLOW_CONNECTIONS true`);
    return oidOf(client, name, login);
  });
  if (oid === null) throw otherAttempt(name);
  const replacement = { name, oid };
  try {
    await withAdminIn(target, replacement, (client) => createExtensions(client, login.user, request.extensions));
    return replacement;
  } catch (error) {
    await dropLeftover(target.admin, name, id, { oid });
    throw error;
  }
}

/** An attempt that was frozen may create it, or find it dropped, while its successor does the same. */
function otherAttempt(name: string, cause?: unknown): CofreError {
  return new CofreError('database-locked', `another attempt of this restore is at the database ${name}`, { cause });
}

function isTaken(error: unknown): boolean {
  const state = sqlStateOf(error instanceof CofreError ? error.cause : error);
  return state === SQLSTATE.duplicateDatabase || state === SQLSTATE.uniqueViolation;
}

/**
 * Removes what a restore that failed or was cancelled made: its database, then its login. Safe at any time and any
 * number of times; a database that is in use already (swapped in) has another name and is never touched.
 * An attempt names what it `made` itself, so that one that was frozen does not remove its successor's;
 * without it, everything of the run goes.
 */
export async function discardLoad(
  target: RestoreTarget,
  request: { id: string; made?: { login: RestoreLogin; replacement?: Replacement | undefined } },
): Promise<void> {
  const { id, made } = request;
  const name = replacementName(target.database, id);
  if (made === undefined) await dropLeftover(target.admin, name, id);
  else if (made.replacement !== undefined) await dropLeftover(target.admin, name, id, { oid: made.replacement.oid });
  await dropRestoreLogin(target.admin, id, made?.login);
}

/** What restores that died have left on a server: the part of their ids that names it, and the databases. */
export async function findLeftovers(admin: PostgresTarget): Promise<{ id: string; database: string | null }[]> {
  return await withClient(admin, async (client) => {
    const { rows } = await client.query<{ id: string; database: string | null }>(
      `SELECT substring(datname from '__restore_([0-9a-f]{8})$') AS id, datname AS database
         FROM pg_database WHERE datname ~ '__restore_[0-9a-f]{8}$'
       UNION ALL
       SELECT substring(rolname from '_([0-9a-f]{8})$'), NULL FROM pg_roles WHERE rolname ~ '^cofre_restore_[0-9a-f]{8}$'`,
    );
    return rows;
  });
}

/** Removes one of them, as `discardLoad` does: a database that does not carry the run's mark is refused. */
export async function discardLeftover(
  admin: PostgresTarget,
  { id, database }: { readonly id: string; readonly database: string | null },
): Promise<void> {
  if (database !== null) await dropLeftover(admin, database, id);
  await dropRestoreLogin(admin, id);
}

/** The schemas that `createDatabase` makes for extensions: their entries in an archive are left out. */
export function extensionSchemas(extensions: readonly ExtensionWanted[]): string[] {
  return [...new Set(extensions.map(({ schema }) => schema))].filter(
    (name) => name !== 'public' && !name.startsWith('pg_'),
  );
}

/**
 * Ours is what carries the run's mark, or belongs to the run's login: a kill may come before the mark was set. `only`: the one
 * with this oid, or while the run's login is still this one. A successor takes the login over before it makes its database,
 * so an attempt that was frozen cannot take that away.
 * @throws CofreError `database-locked` when a successor has the login.
 */
async function dropLeftover(
  admin: PostgresTarget,
  name: string,
  id: string,
  only: { readonly oid?: number; readonly login?: RestoreLogin } = {},
): Promise<void> {
  const found = await withClient(admin, async (client) => {
    const { rows } = await client.query<{ oid: number; ours: boolean; current: boolean }>(
      `SELECT d.oid::int8::float8 AS oid, ${hasLogin('$3', '$4')} AS current,
              coalesce(shobj_description(d.oid, 'pg_database') = $2, false) OR pg_get_userbyid(d.datdba) = $3 AS ours
         FROM pg_database d WHERE d.datname = $1`,
      [name, markOf(id), restoreLoginName(id), only.login?.attempt ?? null],
    );
    return rows[0];
  });
  if (found === undefined || (only.oid !== undefined && found.oid !== only.oid)) return;
  if (only.login !== undefined && !found.current) throw otherAttempt(name);
  if (!found.ours) {
    throw new CofreError('refused', `there is a database ${name} that this restore did not make`, {
      hint: 'rename or drop it by hand, then restore again',
    });
  }
  await dropSubscriptions(admin, { name, oid: found.oid });
  await dropDatabase({ admin, name, oid: found.oid });
}

function markOf(id: string): string {
  return `being restored by Cofre, run ${id}: not in use yet`;
}

async function createExtensions(client: pg.Client, login: string, wanted: readonly ExtensionWanted[]): Promise<void> {
  const user = escapeIdentifier(login);
  // From 15 on, public belongs to the owner of the database by itself; before, only a superuser may give it away.
  const { versionNumber, superuser } = await readAdminRights(client);
  if (versionNumber < 150_000 && superuser) await client.query(`ALTER SCHEMA public OWNER TO ${user}`);
  if (!wanted.some(({ name }) => name === 'plpgsql')) await client.query('DROP EXTENSION IF EXISTS plpgsql');
  const ours = extensionSchemas(wanted);
  for (const extension of await inOrder(client, wanted)) {
    const schema = escapeIdentifier(extension.schema);
    if (ours.includes(extension.schema))
      await client.query(`CREATE SCHEMA IF NOT EXISTS ${schema} AUTHORIZATION ${user}`);
    const { rows } = await client.query<{ available: boolean }>(
      `SELECT EXISTS (SELECT FROM pg_available_extension_versions WHERE name = $1 AND version = $2) AS available`,
      [extension.name, extension.version],
    );
    const version = rows[0]?.available === true ? ` VERSION ${escapeLiteral(extension.version ?? '')}` : '';
    await restoreStatement(
      client,
      `the extension ${extension.name} cannot be created`,
      `CREATE EXTENSION IF NOT EXISTS ${escapeIdentifier(extension.name)} SCHEMA ${schema}${version}`,
    );
  }
  await openToLogin(client, login);
}

/**
 * Lets the login that restores use what an extension made and only the admin owns: fill the tables that extensions
 * declare as configuration, and make tables of foreign servers. All of it is taken back with the login.
 */
export async function openToLogin(client: pg.Client, login: string): Promise<void> {
  const user = escapeIdentifier(login);
  const { rows } = await client.query<{ relation: string; schema: string; sequence: boolean }>(
    `SELECT format('%I.%I', n.nspname, c.relname) AS relation, quote_ident(n.nspname) AS schema, c.relkind = 'S' AS sequence
       FROM pg_extension e CROSS JOIN unnest(e.extconfig) AS config(oid)
       JOIN pg_class c ON c.oid = config.oid JOIN pg_namespace n ON n.oid = c.relnamespace`,
  );
  for (const { relation, schema, sequence } of rows) {
    await client.query(`GRANT USAGE ON SCHEMA ${schema} TO ${user}`);
    await client.query(
      `GRANT ${sequence ? 'SELECT, UPDATE ON SEQUENCE' : 'SELECT, INSERT ON TABLE'} ${relation} TO ${user}`,
    );
  }
  const wrappers = await client.query<{ name: string }>(
    'SELECT quote_ident(fdwname) AS name FROM pg_foreign_data_wrapper',
  );
  for (const { name } of wrappers.rows) await client.query(`GRANT USAGE ON FOREIGN DATA WRAPPER ${name} TO ${user}`);
  const servers = await client.query<{ name: string }>('SELECT quote_ident(srvname) AS name FROM pg_foreign_server');
  for (const { name } of servers.rows) await client.query(`GRANT USAGE ON FOREIGN SERVER ${name} TO ${user}`);
}

/** What an extension requires comes before it; CASCADE would put it into the wrong schema. */
async function inOrder(client: pg.Client, wanted: readonly ExtensionWanted[]): Promise<ExtensionWanted[]> {
  const { rows } = await client.query<{ name: string; requires: string[] }>(
    `SELECT name, requires::text[] AS requires FROM pg_available_extension_versions WHERE requires IS NOT NULL`,
  );
  const ordered = new Set<ExtensionWanted>();
  const visit = (extension: ExtensionWanted, path: readonly string[]): void => {
    if (ordered.has(extension) || path.includes(extension.name)) return;
    const required = rows.filter(({ name }) => name === extension.name).flatMap(({ requires }) => requires);
    for (const other of wanted) if (required.includes(other.name)) visit(other, [...path, extension.name]);
    ordered.add(extension);
  };
  for (const extension of wanted) visit(extension, []);
  return [...ordered];
}

export function shapeClauses(shape: DatabaseShape, version: number): string {
  const clauses = [
    `ENCODING ${escapeLiteral(shape.encoding)}`,
    `LC_COLLATE ${escapeLiteral(shape.collate)}`,
    `LC_CTYPE ${escapeLiteral(shape.ctype)}`,
  ];
  if (version >= 150_000) clauses.push(`LOCALE_PROVIDER ${shape.localeProvider}`);
  if (shape.localeProvider === 'icu') clauses.push(`ICU_LOCALE ${escapeLiteral(shape.icuLocale ?? '')}`);
  if (shape.localeProvider === 'icu' && shape.icuRules !== null)
    clauses.push(`ICU_RULES ${escapeLiteral(shape.icuRules)}`);
  if (shape.localeProvider === 'builtin') clauses.push(`BUILTIN_LOCALE ${escapeLiteral(shape.icuLocale ?? 'C')}`);
  return clauses.join(' ');
}

/** How the live database was made; null where there is none. */
async function readShape(client: pg.Client, database: string, version: number): Promise<DatabaseShape | null> {
  const locale = version >= 170_000 ? 'datlocale' : version >= 150_000 ? 'daticulocale' : 'NULL::text';
  const { rows } = await client.query<DatabaseShape>(
    `SELECT pg_encoding_to_char(encoding) AS encoding, datcollate AS collate, datctype AS ctype,
            ${version >= 150_000 ? `CASE datlocprovider WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' ELSE 'libc' END` : `'libc'`} AS "localeProvider",
            ${locale} AS "icuLocale", ${version >= 160_000 ? 'daticurules' : 'NULL::text'} AS "icuRules"
       FROM pg_database WHERE datname = $1`,
    [database],
  );
  return rows[0] ?? null;
}

/** Null when a successor has dropped it, and perhaps made its own under the same name. */
async function oidOf(client: pg.Client, name: string, { user, attempt }: RestoreLogin): Promise<number | null> {
  const { rows } = await client.query<{ oid: number }>(
    `SELECT oid::int8::float8 AS oid FROM pg_database WHERE datname = $1 AND ${hasLogin('$2', '$3')}`,
    [name, user, attempt],
  );
  return rows[0]?.oid ?? null;
}

/** Whether the run's login is still the one of this attempt. */
function hasLogin(user: string, attempt: string): string {
  return `EXISTS (SELECT FROM pg_roles WHERE rolname = ${user} AND shobj_description(oid, 'pg_authid') = ${attempt})`;
}

async function versionOf(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ version: string }>(`SELECT current_setting('server_version_num') AS version`);
  return Number(rows[0]?.version);
}
