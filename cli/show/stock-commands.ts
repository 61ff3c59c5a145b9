import { basename } from 'node:path/posix';

import pg from 'pg';

import type { BackupDetail, CopyDetail } from '../../catalog/backup-list.ts';
import { objectPrefix } from '../../catalog/backup-id.ts';
import type { DatabaseFacts, Manifest, Origin, RoleFacts, ServerFacts } from '../../catalog/manifest.ts';
import type { AppliedConfig } from '../../config/schema.ts';
import { wrappingOf, type Wrapping } from '../../sources/postgres/archive-files.ts';
import { shapeClauses } from '../../sources/postgres/create-database.ts';
import { assignment, settingStatement } from '../../sources/postgres/settings.ts';
import { bytesInWords } from '../print.ts';
import { quote, stockFetch } from './stock-fetch.ts';

const { escapeIdentifier, escapeLiteral } = pg;

/**
 * The commands that restore a backup without Cofre, to be pasted into a shell: one block for each verified copy.
 * They make a database of the recorded name and refuse where there is one already.
 */
export function stockCommands(backup: BackupDetail, manifest: Manifest, config: AppliedConfig): string {
  const verified = backup.copies.filter(({ state }) => state === 'verified');
  const blocks = verified.map((copy) => blockOf(backup, manifest, copy, config));
  return blocks.length === 0
    ? `# No copy of ${backup.id} is verified: there is nothing to restore from.`
    : blocks.join('\n\n');
}

function blockOf(backup: BackupDetail, manifest: Manifest, copy: CopyDetail, config: AppliedConfig): string {
  const destination = config.destinations[copy.destination];
  if (destination === undefined) {
    return `# The copy in ${copy.destination}: that destination is not in the configuration any more; look where it was kept.`;
  }
  const { path: archive, lines, tools: fetching } = stockFetch(destination, objectKey(backup, manifest));
  const object = manifest.objects[0];
  const where = destination.hosts === undefined ? 'every host' : destination.hosts.join(', ');
  const major = manifest.server === null ? pgDumpMajor(manifest) : Math.floor(manifest.server.versionNumber / 10_000);
  const wrapping = wrappingOf(basename(manifest.objects[0]?.key ?? ''));
  const unpack = wrapping === undefined ? [] : UNPACKERS[wrapping];
  const tools = [...fetching, ...(wrapping === undefined ? ['tar', 'zstd'] : unpack.slice(0, 1))].join(', ');
  const roomBytes = manifest.content.rawBytes + (lines.length === 0 ? 0 : (object?.sizeBytes ?? 0));
  const extensions = manifest.database?.extensions.filter(({ name }) => name !== 'plpgsql') ?? [];
  const installed = extensions.map(({ name, version }) => `${name} ${version}`).join(', ');
  return [
    `# ${backup.id} of ${backup.environment} from the copy in ${copy.destination}: ${bytesInWords(object?.sizeBytes ?? 0)}, seen by: ${where}`,
    `# Needs ${tools}, the clients of PostgreSQL ${Math.max(major, 14)}, and room for ${bytesInWords(roomBytes)} in the folder that mktemp makes (TMPDIR).`,
    ...(installed === '' ? [] : [`# The server must offer these extensions: ${installed}`]),
    `# Run it as a superuser of the server that gets the database. ${manifest.database === null ? ADOPTED_OWNERS : OWNERS}`,
    connectionOf(backup, config),
    '(',
    'set -eu',
    'cd "$(mktemp -d)"',
    ...lines,
    `echo ${quote(`${object?.sha256 ?? ''}  ${archive}`)} | sha256sum --check`,
    ...(manifest.database === null || manifest.server === null
      ? adoptedLines([...unpack, quote(archive)].join(' '), backup, config)
      : knownLines(manifest.database, manifest.server, manifest.pipeline, archive)),
    ')',
  ].join('\n');
}

const OWNERS = 'Owners stay as they were; with --no-owner everything belongs to that superuser.';
const ADOPTED_OWNERS =
  'Another job made this dump, and nothing tells whose its objects were: everything belongs to that superuser.';

/** What unpacks a dump in one file to its standard output. */
const UNPACKERS: Readonly<Record<Wrapping, readonly string[]>> = {
  zstd: ['zstd', '-dc'],
  gzip: ['gzip', '-dc'],
  nothing: ['cat'],
};

function knownLines(database: DatabaseFacts, server: ServerFacts, pipeline: Origin, archive: string): string[] {
  return [
    ...hereDocument('psql -X -q -v ON_ERROR_STOP=1 -d postgres', [
      ...rolesSql(database),
      ...databaseSql(database, server),
    ]),
    ...restoreLines(pipeline, database, archive),
    ...settingLines(pipeline, database, archive),
    `psql -X -q -d ${quote(database.name)} -c ANALYZE`,
  ];
}

/** Nobody wrote down what the database of an adopted dump was like: it is the configuration's, with the server's own settings. */
function adoptedLines(opened: string, { environment }: BackupDetail, config: AppliedConfig): string[] {
  const { name, owner } = config.environments[environment]?.database ?? { name: environment, owner: environment };
  const role = `CREATE ROLE ${escapeIdentifier(owner)} LOGIN`;
  return [
    ...hereDocument('psql -X -q -v ON_ERROR_STOP=1 -d postgres', [
      `SELECT ${escapeLiteral(role)} WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = ${escapeLiteral(owner)}) \\gexec`,
      `CREATE DATABASE ${escapeIdentifier(name)} OWNER ${escapeIdentifier(owner)} TEMPLATE template0;`,
    ]),
    `${opened} | pg_restore --exit-on-error --no-owner --no-privileges -d ${quote(name)}`,
    `psql -X -q -d ${quote(name)} -c ANALYZE`,
  ];
}

function pgDumpMajor({ tools }: Manifest): number {
  return Number.parseInt(tools['pg_dump'] ?? '0', 10);
}

/** Names and comments of the source may have any lines: its own end is none of them. */
function hereDocument(command: string, lines: readonly string[]): string[] {
  const all = new Set(lines.flatMap((line) => line.split('\n')));
  let end = 'SQL';
  while (all.has(end)) end += '_';
  return [`${command} <<'${end}'`, ...lines, end];
}

/** The object's key in every destination. */
export function objectKey(backup: BackupDetail, manifest: Manifest): string {
  return `${objectPrefix(backup.environment, backup.id)}${manifest.objects[0]?.key ?? ''}`;
}

function restoreLines(pipeline: Origin, database: DatabaseFacts, archive: string): string[] {
  const target = quote(database.name);
  if (pipeline === 'streamed') return [`zstd -dc ${quote(archive)} | pg_restore --exit-on-error -d ${target}`];
  return [
    `mkdir d && tar xf ${quote(archive)} -C d && find d -name '*.zst' -print0 | xargs -0r zstd -dq --rm && pg_restore -Fd -j4 -d ${target} d`,
  ];
}

/**
 * The values that only the archive has: its own SQL for the database, but for what makes that. Nothing is cut out of the part
 * that has the values, for they may look like anything.
 */
function settingLines(pipeline: Origin, database: DatabaseFacts, archive: string): string[] {
  if (database.settings.every(({ value }) => value !== null)) return [];
  const [open, from] = pipeline === 'streamed' ? [`zstd -dc ${quote(archive)} | `, ''] : ['', ' -Fd d'];
  const sql = `${open}pg_restore --create --use-list=/dev/null -f -${from}`;
  const made = String.raw`1,/; Type: DATABASE PROPERTIES;/{/^\(CREATE\|ALTER\) DATABASE /d}`;
  return [`${sql} | sed '${made}' | psql -X -q -o /dev/null -v ON_ERROR_STOP=1 -d postgres`];
}

function connectionOf({ environment }: BackupDetail, config: AppliedConfig): string {
  const server = config.servers[config.environments[environment]?.database.server ?? ''];
  if (server === undefined) return '# Say which server: export PGHOST=… PGPORT=… PGUSER=…';
  return `export PGHOST=${quote(server.host)} PGPORT=${server.port} PGUSER=${quote(server.admin.user)} PGCLIENTENCODING=UTF8`;
}

/** Only those that are missing: one that exists is never changed. */
function rolesSql({ roles, memberships }: DatabaseFacts): string[] {
  const create = roles.map((role) => {
    const statement = `CREATE ROLE ${escapeIdentifier(role.name)} ${attributesOf(role)}`;
    return `SELECT ${escapeLiteral(statement)} WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = ${escapeLiteral(role.name)}) \\gexec`;
  });
  const grant = memberships.map(
    ({ role, member, admin }) =>
      `GRANT ${escapeIdentifier(role)} TO ${escapeIdentifier(member)}${admin ? ' WITH ADMIN OPTION' : ''};`,
  );
  const logins = roles.filter(({ login }) => login).map(({ name }) => escapeIdentifier(name));
  const note =
    logins.length === 0
      ? []
      : [`-- Passwords are in no backup; for a login that was made here: \\password (${logins.join(', ')})`];
  return [...note, ...create, ...grant];
}

/** What made a role more than an application's stays behind: nobody should get such rights from a pasted command. */
function attributesOf({ login, inherit }: RoleFacts): string {
  return `${login ? 'LOGIN' : 'NOLOGIN'} ${inherit ? 'INHERIT' : 'NOINHERIT'}`;
}

function databaseSql(facts: DatabaseFacts, server: ServerFacts): string[] {
  const database = escapeIdentifier(facts.name);
  const owner = escapeIdentifier(facts.owner);
  const statements = [
    `CREATE DATABASE ${database} OWNER ${owner} TEMPLATE template0 ${shapeClauses(facts, server.versionNumber)} CONNECTION LIMIT ${facts.connectionLimit};`,
  ];
  if (facts.comment !== null) statements.push(`COMMENT ON DATABASE ${database} IS ${escapeLiteral(facts.comment)};`);
  if (facts.privileges !== null) {
    statements.push(`REVOKE ALL ON DATABASE ${database} FROM PUBLIC, ${owner};`);
    for (const { grantee, privilege, grantable } of facts.privileges) {
      const to = grantee === '' ? 'PUBLIC' : escapeIdentifier(grantee);
      statements.push(
        `GRANT ${privilege} ON DATABASE ${database} TO ${to}${grantable && grantee !== '' ? ' WITH GRANT OPTION' : ''};`,
      );
    }
  }
  for (const setting of facts.settings) {
    const assigned = assignment(setting);
    if (assigned !== undefined) statements.push(`${settingStatement({ setting, assigned }, facts.name)};`);
  }
  return statements;
}
