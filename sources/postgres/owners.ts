import pg from 'pg';

import type { DatabaseFacts, ObjectOwner } from '../../catalog/manifest.ts';
import { IS_SUPERUSER, readAdminRights } from './admin-rights.ts';
import { restoreStatement, type RestoreTarget } from './restore-target.ts';

const { escapeIdentifier } = pg;

/** The words of `pg_identify_object`, and those of `ALTER … OWNER TO`. What is not here is never altered. */
const ALTER_WORDS: Readonly<Record<string, string>> = {
  table: 'TABLE',
  view: 'VIEW',
  'materialized view': 'MATERIALIZED VIEW',
  'foreign table': 'FOREIGN TABLE',
  sequence: 'SEQUENCE',
  function: 'ROUTINE',
  procedure: 'ROUTINE',
  aggregate: 'ROUTINE',
  type: 'TYPE',
  schema: 'SCHEMA',
  'large object': 'LARGE OBJECT',
  collation: 'COLLATION',
  conversion: 'CONVERSION',
  operator: 'OPERATOR',
  'operator class': 'OPERATOR CLASS',
  'operator family': 'OPERATOR FAMILY',
  'statistics object': 'STATISTICS',
  'text search dictionary': 'TEXT SEARCH DICTIONARY',
  'text search configuration': 'TEXT SEARCH CONFIGURATION',
  language: 'LANGUAGE',
  server: 'SERVER',
  publication: 'PUBLICATION',
};

/** A role that owns one of these can have its code run with more than its own rights, or be relied on by superusers. */
const CODE = new Set(['ROUTINE', 'TYPE']);
const NAMED = 5;

/**
 * Catalog, column of the owner, condition; `pg_shdepend` would do but for the superuser that `initdb` made. A sequence of
 * a column follows its table. Functions of event triggers are left out: superusers run them, so they stay with the admin.
 */
const CATALOGS: readonly (readonly [catalog: string, owner: string, condition?: string, identifiedAs?: string])[] = [
  [
    'pg_class',
    'relowner',
    `x.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and x.relpersistence <> 't' and not (x.relkind = 'S' and exists (
       select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = x.oid
         and d.refclassid = 'pg_class'::regclass and d.refobjsubid > 0 and d.deptype = 'a'))`,
  ],
  ['pg_proc', 'proowner', `x.prorettype <> 'event_trigger'::regtype`],
  ['pg_type', 'typowner'],
  ['pg_namespace', 'nspowner', `x.nspname !~ '^pg_'`],
  ['pg_operator', 'oprowner'],
  ['pg_opclass', 'opcowner'],
  ['pg_opfamily', 'opfowner'],
  ['pg_collation', 'collowner'],
  ['pg_conversion', 'conowner'],
  ['pg_ts_dict', 'dictowner'],
  ['pg_ts_config', 'cfgowner'],
  ['pg_statistic_ext', 'stxowner'],
  ['pg_language', 'lanowner'],
  ['pg_foreign_server', 'srvowner'],
  ['pg_publication', 'pubowner'],
  ['pg_largeobject_metadata', 'lomowner', 'true', 'pg_largeobject'],
];

/** Whatever has an owner of its own: not the system's, not an extension's, not what the server makes with another object. */
const OBJECTS = CATALOGS.map(
  ([catalog, owner, condition = 'true', identifiedAs = catalog]) =>
    `select '${identifiedAs}'::regclass as class, x.oid, x.${owner} as owner from ${catalog} x
     where (x.oid >= 16384 or x.oid = 2200 and '${catalog}' = 'pg_namespace') and ${condition}
       and not exists (select from pg_depend e where e.classid = '${identifiedAs}'::regclass and e.objid = x.oid
         and e.objsubid = 0 and e.deptype in ('e', 'i'))`,
).join('\nunion all ');

/**
 * Who owns what in this database, without what belongs to the owner of the database. The schema public is there unless
 * it is the system's: so a restore knows which of the two it was.
 */
export async function readOwners(client: pg.Client): Promise<ObjectOwner[]> {
  const { rows } = await client.query<ObjectOwner>(`
    select i.type, i.identity, pg_get_userbyid(o.owner) as owner
    from (${OBJECTS}) o cross join pg_identify_object(o.class, o.oid, 0) i
    where (o.oid = 2200 or o.owner <> (select datdba from pg_database where datname = current_database()))
      and (o.oid >= 16384 or o.owner >= 16384) order by i.type, i.identity collate "C"`);
  return rows;
}

/**
 * Gives everything back to the role that owned it at the source, after all was handed to the environment's owner.
 * Ends with warnings about what could not be. Superusers' objects stay with the environment's owner, but in a trusted
 * restore their routines and types go to the admin: whoever owns those could replace what superusers rely on.
 * May run again. The statements use names as this server tells them, and a manifest's only to compare with.
 */
export async function restoreOwners(client: pg.Client, target: RestoreTarget, facts: DatabaseFacts): Promise<string[]> {
  const owners = facts.owners ?? [];
  if (owners.length === 0) return [];
  const { rows: objects } = await client.query<ObjectOwner>(`
    select i.type, i.identity, pg_get_userbyid(o.owner) as owner
    from (${OBJECTS}) o cross join pg_identify_object(o.class, o.oid, 0) i`);
  const found = new Map(objects.map((object) => [keyOf(object), object]));
  const fit = await findFitRoles(client, target, owners);
  // An admin that is no superuser has nothing that superusers rely on.
  const trusted = target.trusted && (await readAdminRights(client)).superuser;
  const superusers = new Set(
    owners
      .map(({ owner }) => owner)
      .filter((name) => facts.roles.find((role) => role.name === name)?.superuser ?? true),
  );
  const wereSuperusers: string[] = [];
  const leftOut: string[] = [];
  // Nobody uses this database yet, and a later commit that waits makes these durable too.
  await client.query('SET synchronous_commit = off');
  for (const recorded of owners) {
    const object = found.get(keyOf(recorded));
    const words = ALTER_WORDS[recorded.type];
    const name = `${recorded.type} ${recorded.identity}`;
    if (object === undefined || words === undefined) {
      leftOut.push(`${name} (of ${recorded.owner})`);
      continue;
    }
    const isSuperusers = superusers.has(recorded.owner);
    const staysWithAdmin = isSuperusers && trusted && CODE.has(words);
    if (isSuperusers && object.owner === target.owner && !staysWithAdmin) wereSuperusers.push(name);
    if (!isSuperusers && !fit.has(recorded.owner)) leftOut.push(`${name} (of ${recorded.owner})`);
    const to = staysWithAdmin ? target.admin.user : !isSuperusers && fit.has(recorded.owner) ? recorded.owner : null;
    if (to === null || to === object.owner) continue;
    const statement = `ALTER ${words} ${object.identity} OWNER TO ${escapeIdentifier(to)}`;
    await restoreStatement(client, `the ${name} could not be given back to ${to}`, statement);
  }
  return [
    ...tell(wereSuperusers, `that belonged to a superuser now belong to ${target.owner}`),
    ...tell(leftOut, `could not be given back to their owners and stay as they are`),
  ];
}

/**
 * The roles that exist and own the database or something in it before, during or after a restore, or have default
 * privileges there: those that an admin acts for.
 */
export async function ownersAfter(
  client: pg.Client,
  target: RestoreTarget,
  facts: Pick<DatabaseFacts, 'roles' | 'owners' | 'needs'> | null,
): Promise<string[]> {
  const ordinary = new Set(facts?.roles.filter(({ superuser }) => !superuser).map(({ name }) => name));
  const owners = (facts?.owners ?? []).filter(({ owner }) => ordinary.has(owner));
  const fit = await findFitRoles(client, target, owners);
  const { rows } = await client.query<{ owner: string }>(
    'SELECT pg_get_userbyid(datdba) AS owner FROM pg_database WHERE datname = $1',
    [target.database],
  );
  const live = rows.map(({ owner }) => owner);
  const names = new Set([target.owner, ...live, ...fit, ...(facts?.needs?.defaultPrivileges ?? [])]);
  // Whatever a manifest says: nobody acts for the server's own roles.
  return [...names].filter((name) => !name.startsWith('pg_'));
}

/**
 * Roles that may own what a backup says. Without trust not those that can do more on the server than an application:
 * a function that runs with its owner's rights would hand them to whoever may call it.
 */
async function findFitRoles(
  client: pg.Client,
  target: RestoreTarget,
  owners: readonly ObjectOwner[],
): Promise<Set<string>> {
  const { rows } = await client.query<{ name: string }>(
    `select r.rolname as name from pg_roles r
      where r.rolname = any ($1) and not r.rolsuper and ($2 and ${IS_SUPERUSER} or not exists (
        select from pg_roles p where pg_has_role(r.oid, p.oid, 'member') and (p.rolsuper or p.rolcreaterole or p.rolreplication
          or p.rolname in ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files'))))`,
    [[...new Set(owners.map(({ owner }) => owner))], target.trusted],
  );
  return new Set(rows.map(({ name }) => name));
}

function tell(names: readonly string[], what: string): string[] {
  if (names.length === 0) return [];
  const more = names.length > NAMED ? `, … (${names.length - NAMED} more)` : '';
  return [`${names.length} objects ${what}: ${names.slice(0, NAMED).join(', ')}${more}`];
}

function keyOf({ type, identity }: ObjectOwner): string {
  return `${type} ${identity}`;
}
