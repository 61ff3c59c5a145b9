import type pg from 'pg';

import type { PrivilegedObject } from '../../catalog/manifest.ts';

/** SQL: whether only a superuser may store the setting `entry` (`name=value`); an unknown name counts as such, as it does for the server. */
export const SUPERUSER_SETTING = `
  coalesce((select context in ('internal', 'superuser-backend', 'superuser') from pg_settings
    where lower(pg_settings.name) = lower(split_part(entry, '=', 1))), true)`;

/**
 * What only a superuser may create, and what hangs on it, without what an extension brings.
 * Types and names are those that `pg_restore --list` prints, because a restore finds the entries by them.
 * Leaves the session with an empty `search_path`, as pg_dump's own, so that types are named with their schemas.
 */
export async function readPrivilegedObjects(client: pg.Client): Promise<PrivilegedObject[]> {
  await client.query("set search_path = ''");
  const { rows: version } = await client.query<{ major: number }>(
    "select current_setting('server_version_num')::int / 10000 as major",
  );
  const knowsSchemaPublications = (version[0]?.major ?? 0) >= 15;
  const parts = knowsSchemaPublications ? [...OBJECTS, ...SCHEMA_PUBLICATIONS] : OBJECTS;
  const { rows } = await client.query<PrivilegedObject>(
    `with routine as (${ROUTINES}), base_type as (${BASE_TYPES}) ${parts.join('\nunion ')} order by 1, 2, 3`,
  );
  return rows.map(({ type, schema, name }) => ({
    type,
    schema: schema === null ? null : oneLine(schema),
    name: oneLine(name),
  }));
}

/** As pg_restore writes names into its list. */
function oneLine(name: string): string {
  return name.replace(/[\r\n]/g, ' ');
}

/** Neither the system's (below 16384), nor an extension's, nor made by the server with another object (a range's constructors). */
function own(catalog: string, alias: string): string {
  return `${alias}.oid >= 16384 and not exists (select 1 from pg_depend e
    where e.classid = '${catalog}'::regclass and e.objid = ${alias}.oid and e.deptype in ('e', 'i'))`;
}

const ROUTINES = `
  select p.oid, p.prokind, p.proname, p.pronamespace, p.proargtypes from pg_proc p
  join pg_language l on l.oid = p.prolang left join pg_aggregate a on a.aggfnoid = p.oid
  where ${own('pg_proc', 'p')} and (
    p.prokind <> 'a' and not l.lanpltrusted or p.proleakproof or p.prosupport <> 0
    or p.prokind = 'a' and 'internal'::regtype in (a.aggtranstype, a.aggmtranstype)
    or p.oid in (select evtfoid from pg_event_trigger)
    or exists (select 1 from unnest(p.proconfig) as entry where ${SUPERUSER_SETTING}))`;

const BASE_TYPES = `
  select t.oid, t.typname, t.typnamespace, t.typisdefined from pg_type t
  where ${own('pg_type', 't')} and (t.typtype = 'p' and not t.typisdefined
    or t.typtype = 'b' and not exists (select 1 from pg_type element where element.typarray = t.oid))`;

/** Objects with a name and nothing else: what pg_restore calls them, their catalog, the columns of name and schema, a condition. */
const NAMED: readonly (readonly [
  type: string,
  catalog: string,
  name: string,
  schema: string | null,
  condition?: string,
])[] = [
  ['EVENT TRIGGER', 'pg_event_trigger', 'evtname', null],
  ['FOREIGN DATA WRAPPER', 'pg_foreign_data_wrapper', 'fdwname', null],
  ['SERVER', 'pg_foreign_server', 'srvname', null],
  ['PROCEDURAL LANGUAGE', 'pg_language', 'lanname', null],
  ['ACCESS METHOD', 'pg_am', 'amname', null],
  ['OPERATOR CLASS', 'pg_opclass', 'opcname', 'opcnamespace'],
  ['OPERATOR FAMILY', 'pg_opfamily', 'opfname', 'opfnamespace'],
  ['TEXT SEARCH PARSER', 'pg_ts_parser', 'prsname', 'prsnamespace'],
  ['TEXT SEARCH TEMPLATE', 'pg_ts_template', 'tmplname', 'tmplnamespace'],
  ['PUBLICATION', 'pg_publication', 'pubname', null, 'x.puballtables'],
];

const OBJECTS: readonly string[] = [
  `select case p.prokind when 'p' then 'PROCEDURE' when 'a' then 'AGGREGATE' else 'FUNCTION' end as type, n.nspname::text as schema,
     p.proname || '(' || coalesce((select string_agg(format_type(t.oid, null), ', ' order by t.position)
       from unnest(p.proargtypes) with ordinality as t (oid, position)), case p.prokind when 'a' then '*' else '' end) || ')' as name
   from routine p join pg_namespace n on n.oid = p.pronamespace`,
  `select 'TYPE', n.nspname, t.typname from base_type t join pg_namespace n on n.oid = t.typnamespace`,
  `select 'SHELL TYPE', n.nspname, t.typname from base_type t join pg_namespace n on n.oid = t.typnamespace where t.typisdefined`,
  ...NAMED.map(
    ([type, catalog, name, schema, condition]) =>
      `select '${type}', ${schema === null ? 'null' : `(select nspname from pg_namespace where oid = x.${schema})`}, x.${name}
       from ${catalog} x where ${own(catalog, 'x')} and ${condition ?? 'true'}`,
  ),
  `select 'USER MAPPING', null, 'USER MAPPING ' || usename || ' SERVER ' || srvname from pg_user_mappings`,
  `select 'SUBSCRIPTION', null, s.subname from pg_subscription s join pg_database d on d.oid = s.subdbid where d.datname = current_database()`,
  `select 'CAST', null, format('CAST (%s AS %s)', format_type(c.castsource, null), format_type(c.casttarget, null))
   from pg_cast c where ${own('pg_cast', 'c')} and (c.castmethod = 'b' or c.castfunc in (select oid from routine)
     or c.castsource in (select oid from base_type) or c.casttarget in (select oid from base_type)
     or not exists (select 1 from pg_type t where t.oid in (c.castsource, c.casttarget) and t.oid >= 16384
       and not exists (select 1 from pg_depend e where e.classid = 'pg_type'::regclass and e.objid = t.oid and e.deptype = 'e')))`,
  `select 'TRANSFORM', null, format('TRANSFORM FOR %s LANGUAGE %I', format_type(t.trftype, null), l.lanname)
   from pg_transform t join pg_language l on l.oid = t.trflang where ${own('pg_transform', 't')}`,
  `select 'SECURITY LABEL', null, upper(objtype) || ' ' || objname from pg_seclabels
   where objtype not in ('database', 'role', 'tablespace', 'event trigger', 'subscription')`,
];

const SCHEMA_PUBLICATIONS: readonly string[] = [
  `select 'PUBLICATION', null, p.pubname from pg_publication p where p.oid in (select pnpubid from pg_publication_namespace)`,
  `select 'PUBLICATION TABLES IN SCHEMA', n.nspname, p.pubname || ' ' || n.nspname from pg_publication_namespace pn
   join pg_publication p on p.oid = pn.pnpubid join pg_namespace n on n.oid = pn.pnnspid`,
];
