import pg from 'pg';

import type { DatabaseFacts, DatabaseSetting } from '../../catalog/manifest.ts';
import { captureTool, type ToolContext } from '../../processes/tool.ts';
import type { OpenArchive } from './open-archive.ts';

const { escapeIdentifier, escapeLiteral } = pg;

/** Settings that are lists of names are stored with each name quoted, and are read as one name if quoted as a whole. */
const NAME_LISTS = new Set([
  ...['search_path', 'temp_tablespaces', 'local_preload_libraries', 'session_preload_libraries'],
  ...['shared_preload_libraries', 'unix_socket_directories', 'createrole_self_grant'],
]);

/**
 * A setting that PostgreSQL does not know, such as `app.jwt_secret`, holds what an application put there: often a secret.
 * Its value is in the archive, as all of the application's data are, and nowhere else.
 */
export function isOfApplication(name: string): boolean {
  return name.includes('.');
}

/**
 * Cofre's own part of a database: `docs/operations.md` gives it to the login that backs up, for the large objects before 18.
 * It is no work of the source's, so it is no reason to refuse a restore.
 */
export function isOfBackups({ role, name }: DatabaseSetting, backupLogin: string): boolean {
  return role === backupLogin && name === 'lo_compat_privileges';
}

/** `search_path TO 'a', 'b'`; undefined for a setting whose value is in the archive alone. */
export function assignment({ name, value }: DatabaseSetting): string | undefined {
  if (value === null) return undefined;
  const values = NAME_LISTS.has(name.toLowerCase()) ? splitNames(value) : [value];
  return `${nameOf(name)} TO ${values.length === 0 ? `''` : values.map(escapeLiteral).join(', ')}`;
}

/** A setting with what it is set to, as `assignment` gives it. */
export interface ReadSetting {
  readonly setting: DatabaseSetting;
  readonly assigned: string;
}

/** The statement that sets it in a database. */
export function settingStatement({ setting, assigned }: ReadSetting, database: string): string {
  const where = `DATABASE ${escapeIdentifier(database)}`;
  return `ALTER ${setting.role === null ? where : `ROLE ${escapeIdentifier(setting.role)} IN ${where}`} SET ${assigned}`;
}

/** The settings of a database, and the names of those whose values cannot be read. */
export async function settingsWithValues(
  request: ToolContext & {
    readonly facts: DatabaseFacts;
    readonly pgRestore: string;
    readonly archive: OpenArchive;
  },
): Promise<{ readonly read: readonly ReadSetting[]; readonly unread: readonly string[] }> {
  const { settings } = request.facts;
  const archived = settings.some(({ value }) => value === null)
    ? await readArchived(request)
    : new Map<string, string>();
  const read: ReadSetting[] = [];
  const unread: string[] = [];
  for (const setting of settings) {
    const assigned = assignment(setting) ?? archived.get(keyOf(setting));
    if (assigned === undefined) unread.push(setting.name);
    else read.push({ setting, assigned });
  }
  return { read, unread };
}

const IDENTIFIER = `(?:"(?:[^"]|"")+"|[^\\s".;]+)`;
const LITERAL = `E?'(?:[^']|'')*'`;
const SETTING = new RegExp(
  `ALTER (?:DATABASE ${IDENTIFIER}|ROLE (${IDENTIFIER}) IN DATABASE ${IDENTIFIER}) SET (${IDENTIFIER}(?:\\.${IDENTIFIER})*) TO (${LITERAL}(?:, ${LITERAL})*);`,
  'g',
);

/** Out of the archive's own SQL for the database, which `pg_restore --create` writes; without any entry it writes no more. */
async function readArchived({
  facts,
  pgRestore,
  archive,
  ...context
}: Parameters<typeof settingsWithValues>[0]): Promise<Map<string, string>> {
  const args = ['--create', '--use-list=/dev/null', '--file=-', `--format=${archive.format}`, archive.path];
  const encoding = facts.encoding === 'UTF8' ? 'utf8' : 'latin1';
  const sql = await captureTool({ name: 'pg_restore', path: pgRestore, args }, { ...context, encoding });
  const properties = sql.slice(sql.search(/^-- Name: .*; Type: DATABASE PROPERTIES;/m));
  const found = new Map<string, string>();
  for (const [, role, name = '', values = ''] of properties.matchAll(SETTING)) {
    // Other encodings agree with these two in the letters of English alone.
    if (!['UTF8', 'LATIN1'].includes(facts.encoding) && /[^\0-\x7f]/.test(values)) continue;
    const setting = { role: role === undefined ? null : unquote(role), name: unquote(name) };
    found.set(keyOf(setting), `${nameOf(setting.name)} TO ${values}`);
  }
  return found;
}

function keyOf({ role, name }: Pick<DatabaseSetting, 'role' | 'name'>): string {
  return JSON.stringify([role, name]);
}

function nameOf(name: string): string {
  return name.split('.').map(escapeIdentifier).join('.');
}

function unquote(identifier: string): string {
  return identifier.replace(/"((?:[^"]|"")+)"/g, (_, inner: string) => inner.replaceAll('""', '"'));
}

function splitNames(value: string): string[] {
  return [...value.matchAll(/"((?:[^"]|"")*)"|([^\s,"]+)/g)].map(
    (match) => match[1]?.replaceAll('""', '"') ?? match[2] ?? '',
  );
}
