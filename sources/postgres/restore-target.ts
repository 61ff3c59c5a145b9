import type pg from 'pg';

import type { DatabaseFacts } from '../../catalog/manifest.ts';
import type { Secret } from '../../config/secret.ts';
import { CofreError, messageOf } from '../../errors/error.ts';
import { sqlStateOf, withClient, type PostgresTarget } from '../../postgres/connect.ts';
import { tellable } from './server-words.ts';

/** Where a restore goes. */
export interface RestoreTarget {
  /** In the maintenance database, which is never the one restored. Need not be a superuser (`findLacks`). */
  readonly admin: PostgresTarget;
  /** The name that the restored database gets in the end. */
  readonly database: string;
  readonly owner: string;
  /** The application's logins; those that are missing are made with these passwords. */
  readonly roles: readonly { readonly name: string; readonly password: Secret }[];
  /** The admin may create what only a superuser can. */
  readonly trusted: boolean;
}

/** A database made by a restore and not in use yet. */
export interface Replacement {
  readonly name: string;
  readonly oid: number;
}

/** An extension to create; `version` null takes the server's default. */
export interface ExtensionWanted {
  readonly name: string;
  readonly version: string | null;
  readonly schema: string;
}

/** How a database is created. */
export type DatabaseShape = Pick<
  DatabaseFacts,
  'encoding' | 'collate' | 'ctype' | 'localeProvider' | 'icuLocale' | 'icuRules'
>;

/**
 * The one name part that a run may use for what it makes on a server: database, login, old database.
 * @throws CofreError `bad-input` for anything but 4 to 16 of a-z and 0-9.
 */
export function checkRestoreId(id: string): string {
  if (!/^[a-z0-9]{4,16}$/.test(id))
    throw new CofreError('bad-input', `a restore's id is 4 to 16 of a-z and 0-9, not ${id}`);
  return id;
}

/** `name` and `suffix` within PostgreSQL's 63 bytes; the server would cut silently, and cut the suffix. */
export function nameWithSuffix(name: string, suffix: string): string {
  let head = name;
  while (Buffer.byteLength(head + suffix) > 63) head = [...head].slice(0, -1).join('');
  return head + suffix;
}

/** Where a run's new database waits until it is swapped in. */
export function replacementName(database: string, id: string): string {
  return nameWithSuffix(database, `__restore_${checkRestoreId(id)}`);
}

/** What a replaced database is called while it is kept. */
export function oldName(database: string, id: string): string {
  return nameWithSuffix(database, `__old_${checkRestoreId(id)}`);
}

/** The login that restores, of one run. */
export function restoreLoginName(id: string): string {
  return `cofre_restore_${checkRestoreId(id)}`;
}

/**
 * Lends the admin's session in a restored database, whose content is others' work.
 * @throws CofreError `refused` when it is not the database that was made: an attempt that was frozen must not work on
 * its successor's, which has the same name.
 */
export function withAdminIn<T>(
  target: RestoreTarget,
  replacement: Replacement,
  use: (client: pg.Client) => Promise<T>,
): Promise<T> {
  return withClient({ ...target.admin, database: replacement.name }, async (client) => {
    const { rows } = await client.query<{ oid: number }>(
      'SELECT oid::int8::float8 AS oid FROM pg_database WHERE datname = current_database()',
    );
    if (rows[0]?.oid !== replacement.oid) {
      throw new CofreError('refused', `the database ${replacement.name} was made again by another attempt`);
    }
    return use(client);
  });
}

/** Not waited for, as room in a spool is: each try would fill the disk again that the live database needs. */
export function serverIsFull(what: string, said: string): CofreError {
  return new CofreError('no-space', `the disk of the database server is full: ${what}: ${said}`, {
    hint: 'the half-loaded database is gone, and its room free again; make more room there (a restore needs as much as the database takes, beside the live one), then restore again',
  });
}

/**
 * Runs one statement of a restore. What the server refuses is the restore's failure, told as `what`;
 * a lost connection, a full disk or a server that stops passes through, because trying again may help.
 * `theirs`: it holds values of the backup or runs its functions, so that not all that the server says may be told.
 */
export async function restoreStatement(
  client: pg.Client,
  what: string,
  sql: string,
  whose: 'ours' | 'theirs' = 'ours',
): Promise<void> {
  try {
    await client.query(sql);
  } catch (cause) {
    const sqlState = sqlStateOf(cause);
    const ours = whose === 'ours';
    const options = ours ? { cause } : {};
    const said = ours ? messageOf(cause) : tellable(messageOf(cause));
    if (sqlState === '53100') throw serverIsFull(what, said);
    if (sqlState === undefined || /^(08|53|57|XX)/.test(sqlState)) {
      throw ours ? cause : new CofreError('server-unavailable', `${what}: ${said}`);
    }
    throw new CofreError('restore-failed', `${what}: ${said}`, options);
  }
}
