import type pg from 'pg';

import type { RestoreNeeds } from '../../catalog/manifest.ts';

/** Enough to refuse by name, and no flood in the manifest. */
const NAMED = 100;

/**
 * Catalogs of what has rights: the columns of the rights and of the owner, the kind as `acldefault` names it, the schema,
 * and the catalog that names the object.
 */
const WITH_RIGHTS: readonly (readonly [
  catalog: string,
  rights: string,
  owner: string,
  kind: string,
  schema: string | null,
  identifiedAs?: string,
])[] = [
  ['pg_class', 'relacl', 'relowner', `case x.relkind when 'S' then 's' else 'r' end::"char"`, 'relnamespace'],
  ['pg_proc', 'proacl', 'proowner', `'f'`, 'pronamespace'],
  ['pg_type', 'typacl', 'typowner', `'T'`, 'typnamespace'],
  ['pg_namespace', 'nspacl', 'nspowner', `'n'`, 'oid'],
  ['pg_language', 'lanacl', 'lanowner', `'l'`, null],
  ['pg_foreign_data_wrapper', 'fdwacl', 'fdwowner', `'F'`, null],
  ['pg_foreign_server', 'srvacl', 'srvowner', `'S'`, null],
  ['pg_largeobject_metadata', 'lomacl', 'lomowner', `'L'`, null, 'pg_largeobject'],
];

/**
 * Rights that pg_dump writes in another role's name, and those on what belongs to the system or to an extension, where
 * they are not as they were made. The schema public (2200) belongs to the owner of a database from 15 on, and of
 * information_schema nothing is dumped.
 */
const SUPERUSERS_RIGHTS = [
  ...WITH_RIGHTS.map(([catalog, rights, owner, kind, schema, identifiedAs = catalog]) => {
    const normal = `acldefault(${kind}, x.${owner})`;
    const [now, made] = [`coalesce(x.${rights}, ${normal})`, `coalesce(i.initprivs, ${normal})`];
    return `
      select '${identifiedAs}'::regclass as class, x.oid from ${catalog} x
      left join pg_depend e on e.classid = '${identifiedAs}'::regclass and e.objid = x.oid and e.objsubid = 0 and e.deptype = 'e'
      left join pg_init_privs i on i.classoid = '${identifiedAs}'::regclass and i.objoid = x.oid and i.objsubid = 0
      where case when (x.oid >= 16384 or x.oid = 2200) and e.objid is null
        then x.${rights} is not null and exists (select from aclexplode(x.${rights}) a where a.grantor <> x.${owner})
        when x.${rights}::text is not distinct from i.initprivs::text then false
        else not (${now} @> ${made} and ${now} <@ ${made})${schema === null ? '' : ` and x.${schema} <> 'information_schema'::regnamespace`} end`;
  }),
  `select 'pg_class'::regclass, c.oid from pg_attribute a join pg_class c on c.oid = a.attrelid
   where c.oid >= 16384 and a.attacl is not null and exists (select from aclexplode(a.attacl) x where x.grantor <> c.relowner)`,
].join('\nunion ');

const OWN_TABLE = `c.relkind in ('r', 'p') and c.oid >= 16384 and not exists (select from pg_depend e
  where e.classid = 'pg_class'::regclass and e.objid = c.oid and e.deptype = 'e')`;

/** Rights on the schema public (`n`) that this login, which backs up, was given: PUBLIC has them there, so that none is lost. */
const GIVEN_TO_BACKUPS = `exists (select from aclexplode(array[u.acl]) a join pg_roles r on r.oid = a.grantee
  where r.rolname = current_user and a.grantee <> n.nspowner and a.grantor = n.nspowner and not a.is_grantable)`;

function named(objects: string): string {
  return `array(select i.type || ' ' || i.identity from (${objects}) o cross join pg_identify_object(o.class, o.oid, 0) i
    order by 1 limit ${NAMED})`;
}

/** Reads, as the login that backs up, what takes more than to own the database. */
export async function readRestoreNeeds(client: pg.Client): Promise<RestoreNeeds> {
  const tables = (condition: string): string =>
    named(`select 'pg_class'::regclass as class, c.oid from pg_class c where ${OWN_TABLE} and ${condition}`);
  const { rows } = await client.query<RestoreNeeds>(`
    select ${tables('c.relrowsecurity and c.relforcerowsecurity')} as "forcedRowSecurity",
      ${named(SUPERUSERS_RIGHTS)} as "superusersRights",
      ${tables(`not has_table_privilege(c.relowner, c.oid, 'SELECT')`)} as "closedToOwners",
      array(select distinct pg_get_userbyid(defaclrole)::text from pg_default_acl order by 1) as "defaultPrivileges",
      array(select extname::text from pg_extension where cardinality(extconfig) > 0 order by 1) as "extensionTables",
      current_setting('server_version_num')::int < 150000 and not exists (
        select from pg_namespace n join pg_init_privs i on i.classoid = 'pg_namespace'::regclass and i.objoid = n.oid
        where n.oid = 2200 and n.nspowner < 16384 and i.initprivs::text = array(
            select u.acl from unnest(n.nspacl) with ordinality as u (acl, position) where not ${GIVEN_TO_BACKUPS} order by position)::text
          and obj_description(n.oid, 'pg_namespace') = 'standard public schema') as "changedPublic"`);
  const [needs] = rows;
  if (needs === undefined) throw new Error('a query that always gives one row gave none');
  return needs;
}
