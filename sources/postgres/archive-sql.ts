import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { PrivilegedObject } from '../../catalog/manifest.ts';
import { captureTool, type ToolContext } from '../../processes/tool.ts';
import type { OpenArchive } from './open-archive.ts';
import { parseListing, type ArchiveListing, type TocEntry } from './table-of-contents.ts';

/** What a dump without a manifest can still tell about what a restore must do before it. */
export interface LegacyFacts {
  readonly extensions: readonly { readonly name: string; readonly schema: string; readonly version: null }[];
  readonly privileged: readonly PrivilegedObject[];
}

/** Lists the archive. `knownRoles` help to read names with spaces. */
export async function listArchive(
  pgRestore: string,
  archive: OpenArchive,
  context: ToolContext & { readonly knownRoles?: readonly string[] } = {},
): Promise<ArchiveListing> {
  const args = ['--list', `--format=${archive.format}`, archive.path];
  return parseListing(await captureTool({ name: 'pg_restore', path: pgRestore, args }, context), context.knownRoles);
}

const READ_TYPES = new Set(['EXTENSION', 'FUNCTION', 'PROCEDURE', 'AGGREGATE', 'TYPE', 'CAST', 'PUBLICATION']);
const TRUSTED_LANGUAGES = new Set(['sql', 'plpgsql', 'plperl', 'pltcl', 'plv8']);

/**
 * Reads extensions and privileged objects out of the archive's own SQL. It only decides which login is tried:
 * text that pretends to be something else is at worst refused, because the login that restores may do nothing more.
 */
export async function readLegacyFacts(
  pgRestore: string,
  archive: OpenArchive,
  entries: readonly TocEntry[],
  scratch: string,
  context: ToolContext = {},
): Promise<LegacyFacts> {
  const read = entries.filter(({ type }) => READ_TYPES.has(type));
  // pg_dump takes plpgsql for granted and does not write it down.
  const extensions: LegacyFacts['extensions'][number][] = [{ name: 'plpgsql', schema: 'pg_catalog', version: null }];
  if (read.length === 0) return { extensions, privileged: [] };
  const sql = await writeSql(pgRestore, archive, read, scratch, context);
  const byId = new Map(read.map((entry) => [entry.dumpId, entry]));
  const privileged: PrivilegedObject[] = [];
  const adminCasts = new Set<number>();
  const ownTypes = new Set(entries.map(({ schema, name }) => `${schema}.${name}`));
  // A function of an event trigger is run by superusers, so it stays with the admin as the trigger does.
  const hasEventTrigger = entries.some(({ type }) => type === 'EVENT TRIGGER');
  for (const piece of sql.split(/^-- TOC entry (?=\d+ \(class )/m).slice(1)) {
    const entry = byId.get(Number.parseInt(piece, 10));
    if (entry === undefined) continue;
    const made = /^CREATE EXTENSION IF NOT EXISTS ("(?:[^"]|"")+"|\S+) WITH SCHEMA ("(?:[^"]|"")+"|[^\s;]+);/m.exec(
      piece,
    );
    if (entry.type === 'EXTENSION' && made?.[1] !== undefined && made[2] !== undefined) {
      extensions.push({ name: unquoteIdentifier(made[1]), schema: unquoteIdentifier(made[2]), version: null });
    } else if (entry.type === 'CAST') {
      if (/ WITHOUT FUNCTION/.test(piece) || !isOfOwnType(entry.name, ownTypes)) adminCasts.add(entry.dumpId);
    } else if (
      isPrivileged(entry.type, piece) ||
      (hasEventTrigger && entry.type === 'FUNCTION' && / RETURNS event_trigger\n/.test(piece))
    ) {
      privileged.push({ type: entry.type, schema: entry.schema, name: entry.name });
    }
  }
  // Only the owner of one of its types may make a cast, and base types stay with the admin.
  const hasBaseType = privileged.some(({ type }) => type === 'TYPE');
  const casts = read.filter(({ type, dumpId }) => type === 'CAST' && (hasBaseType || adminCasts.has(dumpId)));
  return {
    extensions,
    privileged: [...privileged, ...casts.map(({ type, schema, name }) => ({ type, schema, name }))],
  };
}

/** The SQL of some entries. --verbose writes the number of each entry before it. */
async function writeSql(
  pgRestore: string,
  archive: OpenArchive,
  entries: readonly TocEntry[],
  scratch: string,
  context: ToolContext,
): Promise<string> {
  // The scratch folder is shared: with one name for all, one restore would read the list of another.
  const folder = await mkdtemp(join(scratch, 'legacy-'));
  try {
    const list = join(folder, 'legacy.list');
    await writeFile(list, toListFile(entries));
    const args = ['--verbose', `--use-list=${list}`, '--file=-', `--format=${archive.format}`, archive.path];
    return await captureTool({ name: 'pg_restore', path: pgRestore, args }, context);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Only the owner of one of its types may make a cast; `integer` and an extension's types are not the login's. */
function isOfOwnType(name: string, ownTypes: ReadonlySet<string>): boolean {
  const types = /^CAST \((.*) AS (.*)\)$/.exec(name)?.slice(1) ?? [];
  return types.some((type) => ownTypes.has(type.replaceAll('"', '').replace(/(\[\])+$/, '')));
}

/** What `pg_restore --use-list` reads: one entry's number on each line. */
export function toListFile(entries: readonly TocEntry[]): string {
  return entries.map(({ dumpId }) => `${dumpId};\n`).join('');
}

/** By the layout that pg_dump gives its statements. */
function isPrivileged(type: string, sql: string): boolean {
  switch (type) {
    case 'FUNCTION':
    case 'PROCEDURE': {
      const clauses = /^ {4}LANGUAGE ("(?:[^"]|"")+"|\S+)(.*)$/m.exec(sql);
      const language = unquoteIdentifier(clauses?.[1] ?? '');
      return (
        !TRUSTED_LANGUAGES.has(language) ||
        / (LEAKPROOF|SUPPORT)\b/.test((clauses?.[2] ?? '').replace(/NOT LEAKPROOF/, ''))
      );
    }
    case 'AGGREGATE':
      return /^ {4}(M?STYPE) = internal,?$/m.test(sql);
    case 'TYPE':
      return /^ {4}INTERNALLENGTH = /m.test(sql);
    case 'PUBLICATION':
      return / FOR ALL TABLES/.test(sql);
    default:
      return false;
  }
}

function unquoteIdentifier(text: string): string {
  return text.startsWith('"') ? text.slice(1, -1).replaceAll('""', '"') : text;
}
