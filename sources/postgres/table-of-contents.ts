import type { PrivilegedObject } from '../../catalog/manifest.ts';
import { CofreError } from '../../errors/error.ts';

/** One line of `pg_restore --list`. */
export interface TocEntry {
  readonly dumpId: number;
  readonly type: string;
  /** null for what lives in no schema. */
  readonly schema: string | null;
  /** As printed: a function with its argument types, a comment's subject; line breaks are spaces. */
  readonly name: string;
  readonly owner: string;
  /** `acl` is what gives rights, in whichever part of the archive it stands. */
  readonly section: 'pre-data' | 'data' | 'post-data' | 'acl';
}

/** What `pg_restore --list` says. */
export interface ArchiveListing {
  readonly entries: readonly TocEntry[];
  /** `Dumped from database version`, as `server_version_num` would say it (the minor version is kept). */
  readonly serverVersionNumber: number | null;
}

/** Who restores what, and in which order. Entries keep the archive's order. */
export interface RestorePlan {
  /** Made in another way before: extensions and the schemas that hold them. */
  readonly skipped: readonly TocEntry[];
  /** Runs of entries, one after the other. */
  readonly preData: readonly { readonly by: 'login' | 'admin'; readonly entries: readonly TocEntry[] }[];
  readonly data: readonly TocEntry[];
  readonly postData: readonly TocEntry[];
  /** Event triggers and the like, which must not see the restore itself. */
  readonly postDataAdmin: readonly TocEntry[];
  readonly acl: readonly TocEntry[];
}

const DATA_TYPES = ['TABLE DATA', 'SEQUENCE SET', 'BLOBS', 'STATISTICS DATA'];
const POST_DATA_TYPES = [
  ...['INDEX', 'INDEX ATTACH', 'CONSTRAINT', 'CHECK CONSTRAINT', 'FK CONSTRAINT', 'TRIGGER', 'RULE', 'STATISTICS'],
  ...['POLICY', 'ROW SECURITY', 'EVENT TRIGGER', 'MATERIALIZED VIEW DATA', 'PUBLICATION', 'PUBLICATION TABLE'],
  ...['PUBLICATION TABLES IN SCHEMA', 'SUBSCRIPTION', 'SUBSCRIPTION TABLE', 'DEFAULT ACL'],
];
const PRE_DATA_TYPES = [
  ...['SCHEMA', 'EXTENSION', 'SHELL TYPE', 'TYPE', 'DOMAIN', 'FUNCTION', 'PROCEDURE', 'AGGREGATE', 'CAST', 'OPERATOR'],
  ...['OPERATOR FAMILY', 'OPERATOR CLASS', 'COLLATION', 'CONVERSION', 'PROCEDURAL LANGUAGE', 'TRANSFORM', 'TABLE'],
  ...['TABLE ATTACH', 'FOREIGN TABLE', 'VIEW', 'MATERIALIZED VIEW', 'SEQUENCE', 'SEQUENCE OWNED BY', 'DEFAULT', 'BLOB'],
  ...['BLOB METADATA', 'SERVER', 'USER MAPPING', 'FOREIGN DATA WRAPPER', 'ACCESS METHOD', 'TEXT SEARCH PARSER'],
  ...['TEXT SEARCH TEMPLATE', 'TEXT SEARCH DICTIONARY', 'TEXT SEARCH CONFIGURATION', 'DATABASE', 'DATABASE PROPERTIES'],
];
/** Longest first, so that `TABLE DATA` is not read as `TABLE` in a schema `DATA`. */
const TYPES = [...DATA_TYPES, ...POST_DATA_TYPES, ...PRE_DATA_TYPES, 'COMMENT', 'SECURITY LABEL', 'ACL'].sort(
  (a, b) => b.length - a.length,
);

/**
 * The catalog that a line of these types names (0: none). Without it a table in a schema called `DATA` reads like the
 * data of a table.
 */
const CATALOG_OF: Readonly<Record<string, number>> = {
  ...{ 'TABLE DATA': 0, 'TABLE ATTACH': 0, 'INDEX ATTACH': 0, 'SEQUENCE SET': 0, 'SEQUENCE OWNED BY': 0 },
  ...{ 'MATERIALIZED VIEW DATA': 0, 'STATISTICS DATA': 0 },
  ...{ 'OPERATOR CLASS': 2616, 'OPERATOR FAMILY': 2753, 'DEFAULT ACL': 826 },
};

/** Only a superuser may create these, whatever is in them; or they reach out to other servers. */
const ADMIN_TYPES = new Set([
  ...['SHELL TYPE', 'OPERATOR FAMILY', 'OPERATOR CLASS', 'PROCEDURAL LANGUAGE', 'TRANSFORM', 'FOREIGN DATA WRAPPER'],
  ...['SERVER', 'USER MAPPING', 'ACCESS METHOD', 'TEXT SEARCH PARSER', 'TEXT SEARCH TEMPLATE', 'EVENT TRIGGER'],
  ...['PUBLICATION TABLES IN SCHEMA', 'SUBSCRIPTION', 'SUBSCRIPTION TABLE', 'SECURITY LABEL'],
]);

/**
 * Reads the text of `pg_restore --list`. The format separates its fields by spaces and quotes nothing, so names with
 * spaces are told apart by the roles that are known and by the schemas that the archive itself lists.
 */
export function parseListing(text: string, knownRoles: readonly string[] = []): ArchiveListing {
  const lines = text.split('\n').flatMap((line) => {
    const match = /^(\d+); (\d+) \d+ (.*)$/.exec(line);
    return match === null ? [] : [{ dumpId: Number(match[1]), catalog: Number(match[2]), rest: match[3] ?? '' }];
  });
  const roles = byLength(knownRoles);
  const schemas = byLength([
    '-',
    ...lines.flatMap(({ rest }) => (rest.startsWith('SCHEMA - ') ? [splitOwner(rest.slice(9), roles).name] : [])),
  ]);
  let section: TocEntry['section'] = 'pre-data';
  const entries = lines.map(({ dumpId, catalog, rest }): TocEntry => {
    const isType = (known: string): boolean =>
      rest.startsWith(`${known} `) && (CATALOG_OF[known] ?? catalog) === catalog;
    const type = TYPES.find(isType) ?? /^[A-Z]+/.exec(rest)?.[0] ?? '';
    // pg_dump writes the three sections one after the other; a comment belongs to the section it stands in.
    if (DATA_TYPES.includes(type)) section = 'data';
    else if (POST_DATA_TYPES.includes(type)) section = 'post-data';
    const tail = rest.slice(type.length + 1);
    const schema =
      schemas.find((known) => tail.startsWith(`${known} `)) ?? tail.slice(0, Math.max(tail.indexOf(' '), 0));
    const isRight = type === 'ACL' || type === 'DEFAULT ACL';
    return {
      dumpId,
      type,
      schema: schema === '-' ? null : schema,
      ...splitOwner(tail.slice(schema.length + 1), roles),
      section: isRight ? 'acl' : section,
    };
  });
  const version = /^; +Dumped from database version: (\d+)\.(\d+)/m.exec(text);
  const serverVersionNumber = version === null ? null : Number(version[1]) * 10_000 + Number(version[2]);
  return { entries, serverVersionNumber };
}

/**
 * Decides who restores each entry. `privileged` is what only a superuser may create, by the manifest or by the
 * archive's own SQL; `extensionSchemas` are made before, with their extensions.
 * @throws CofreError `privileged-objects` that names every one, where the configuration does not trust the source.
 */
export function planEntries(
  entries: readonly TocEntry[],
  options: {
    readonly extensionSchemas: readonly string[];
    readonly privileged: readonly PrivilegedObject[];
    readonly trusted: boolean;
    /** Not one of Cofre's own verified archives: the SQL of its rights is run by the admin only where it is trusted. */
    readonly legacy: boolean;
  },
): RestorePlan {
  const named = new Set(options.privileged.map(({ type, schema, name }) => keyOf(type, schema, name)));
  const publications = options.privileged.filter(({ type }) => type === 'PUBLICATION').map(({ name }) => printed(name));
  const isAdmins = (entry: TocEntry): boolean =>
    ADMIN_TYPES.has(entry.type) ||
    named.has(keyOf(entry.type, entry.schema, entry.name)) ||
    (entry.type === 'PUBLICATION TABLE' && publications.some((name) => entry.name.startsWith(`${name} `))) ||
    isAdminsComment(entry, options.privileged);
  const extensionSchemas = new Set(options.extensionSchemas.map(printed));
  const isSkipped = (entry: TocEntry): boolean =>
    entry.type === 'EXTENSION' ||
    // The admin owns extensions, and runs no SQL of an archive that is neither Cofre's own nor trusted.
    (isExtensionComment(entry) && options.legacy && !options.trusted) ||
    (entry.type === 'SCHEMA' && extensionSchemas.has(entry.name));

  const kept = entries.filter((entry) => !isSkipped(entry));
  const acl = kept.filter((entry) => entry.section === 'acl');
  if (!options.trusted) {
    const found = kept.filter((entry) => isAdmins(entry) && entry.type !== 'COMMENT');
    refusePrivileged([...options.privileged, ...found, ...(options.legacy ? acl : [])].map(printedObject));
  }
  const preData: { by: 'login' | 'admin'; entries: TocEntry[] }[] = [];
  const extensionComments = kept.filter(isExtensionComment);
  if (extensionComments.length > 0) preData.push({ by: 'admin', entries: extensionComments });
  for (const entry of kept.filter((other) => other.section === 'pre-data' && !isExtensionComment(other))) {
    const by = isAdmins(entry) ? 'admin' : 'login';
    const last = preData.at(-1);
    if (last?.by === by) last.entries.push(entry);
    else preData.push({ by, entries: [entry] });
  }
  const postData = kept.filter(({ section }) => section === 'post-data');
  return {
    skipped: entries.filter(isSkipped),
    preData,
    data: kept.filter(({ section }) => section === 'data'),
    postData: postData.filter((entry) => !isAdmins(entry)),
    postDataAdmin: postData.filter(isAdmins),
    acl,
  };
}

/** `FUNCTION public.f(integer)`, for people. */
export function describeEntry(entry: PrivilegedObject): string {
  return `${entry.type} ${entry.schema === null ? '' : `${entry.schema}.`}${entry.name}`;
}

/** @throws CofreError `privileged-objects` that names them all, unless there are none. */
export function refusePrivileged(objects: readonly PrivilegedObject[]): void {
  const names = [...new Set(objects.map(describeEntry))];
  if (names.length === 0) return;
  const shown = names.slice(0, 50).join(', ') + (names.length > 50 ? ` and ${names.length - 50} more` : '');
  throw new CofreError('privileged-objects', `only a superuser may create what the backup holds: ${shown}`, {
    hint: 'where the source of this backup is trusted with that, set `trusted: true` in the database: of the environment; the admin login of the server must then be a superuser',
  });
}

function isExtensionComment(entry: TocEntry): boolean {
  return entry.type === 'COMMENT' && entry.schema === null && entry.name.startsWith('EXTENSION ');
}

/** A comment on something that stays with the admin can only be made by the admin. */
function isAdminsComment(entry: TocEntry, privileged: readonly PrivilegedObject[]): boolean {
  if (entry.type !== 'COMMENT') return false;
  const subject = entry.name.startsWith('LANGUAGE ') ? `PROCEDURAL ${entry.name}` : entry.name;
  // Of a function, a comment's subject has the names of the arguments too, and quotes: the name decides, rather too often.
  const isOf = ({ type, schema, name }: PrivilegedObject): boolean =>
    schema === entry.schema &&
    subject.replaceAll('"', '').startsWith(`${type} ${name.replace(/\(.*/s, '').replaceAll('"', '')}`);
  return [...ADMIN_TYPES].some((type) => subject.startsWith(`${type} `)) || privileged.some(isOf);
}

function printedObject({ type, schema, name }: PrivilegedObject): PrivilegedObject {
  return { type, schema: schema === null ? null : printed(schema), name: printed(name) };
}

function splitOwner(text: string, roles: readonly string[]): { name: string; owner: string } {
  const owner = text.endsWith(' ')
    ? ''
    : (roles.find((known) => text.endsWith(` ${known}`)) ?? text.slice(text.lastIndexOf(' ') + 1));
  return { name: text.slice(0, text.length - owner.length - 1), owner };
}

function keyOf(type: string, schema: string | null, name: string): string {
  return [type, schema === null ? '-' : printed(schema), printed(name)].join('\n');
}

/** `pg_restore --list` prints a line break in a name as a space. */
function printed(name: string): string {
  return name.replace(/[\r\n]/g, ' ');
}

function byLength(names: readonly string[]): string[] {
  return [...new Set(names.map(printed))].sort((a, b) => b.length - a.length);
}
