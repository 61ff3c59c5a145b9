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

/** `search_path TO 'a', 'b'`; undefined for a setting whose value is in the archive alone. */
export function assignment({ name, value }: DatabaseSetting): string | undefined {
  if (value === null) return undefined;
  const values = NAME_LISTS.has(name.toLowerCase()) ? splitNames(value) : [value];
  return `${nameOf(name)} TO ${values.length === 0 ? `''` : values.map(escapeLiteral).join(', ')}`;
}

/** The settings of a database as statements, by their names, and the names of those whose values cannot be read. */
export async function settingStatements(
  request: ToolContext & {
    readonly facts: DatabaseFacts;
    readonly database: string;
    readonly pgRestore: string;
    readonly archive: OpenArchive;
  },
): Promise<{ readonly statements: ReadonlyMap<string, string>; readonly unread: readonly string[] }> {
  const { settings } = request.facts;
  const archived = settings.some(({ value }) => value === null)
    ? await readArchived(request)
    : new Map<string, string>();
  const statements = new Map<string, string>();
  const unread: string[] = [];
  for (const setting of settings) {
    const assigned = assignment(setting) ?? archived.get(keyOf(setting));
    const database = `DATABASE ${escapeIdentifier(request.database)}`;
    const whose = setting.role === null ? database : `ROLE ${escapeIdentifier(setting.role)} IN ${database}`;
    if (assigned === undefined) unread.push(setting.name);
    else statements.set(`${setting.name} of ${setting.role ?? 'the database'}`, `ALTER ${whose} SET ${assigned}`);
  }
  return { statements, unread };
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
}: Parameters<typeof settingStatements>[0]): Promise<Map<string, string>> {
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
