import type pg from 'pg';

import type {
  DatabaseFacts,
  DatabaseSetting,
  ExtensionFacts,
  Membership,
  Privilege,
  RoleFacts,
  ServerFacts,
} from '../../catalog/manifest.ts';
import { readOwners } from './owners.ts';
import { readPrivilegedObjects, SUPERUSER_SETTING } from './privileged.ts';
import { isOfApplication, isOfBackups } from './settings.ts';
import { readRestoreNeeds } from './restore-needs.ts';

/** Which server this is. */
export async function readServerFacts(client: pg.Client): Promise<ServerFacts> {
  const { rows } = await client.query<ServerFacts>(`
    select system_identifier::text as "systemIdentifier", current_setting('server_version') as version,
      current_setting('server_version_num')::int as "versionNumber", pg_is_in_recovery() as "inRecovery"
    from pg_control_system()`);
  return only(rows);
}

/**
 * What a restore of the current database needs and its dump does not carry, read by the login that backs up. Read it
 * inside one snapshot, so that it belongs together. Leaves the session with an empty `search_path`.
 */
export async function readDatabaseFacts(client: pg.Client): Promise<DatabaseFacts> {
  const database = await readDatabase(client);
  const settings = await readSettings(client);
  const roles = await readRoles(client);
  const { login } = only((await client.query<{ login: string }>('select current_user as login')).rows);
  const superusers = settings.filter((setting) => setting.superuser && !isOfBackups(setting, login));
  return {
    ...database,
    settings,
    extensions: await readExtensions(client),
    roles,
    memberships: await readMemberships(client, roles),
    privileged: [
      ...(await readPrivilegedObjects(client)),
      ...superusers.map(({ name }) => ({ type: 'SETTING', schema: null, name })),
    ],
    owners: await readOwners(client),
    needs: await readRestoreNeeds(client),
  };
}

type DatabaseRow = Omit<
  DatabaseFacts,
  'settings' | 'extensions' | 'roles' | 'memberships' | 'privileged' | 'owners' | 'needs'
>;

async function readDatabase(client: pg.Client): Promise<DatabaseRow> {
  // Through jsonb, because the columns of the locale differ between server versions.
  const { rows } = await client.query<
    Omit<DatabaseRow, 'sizeBytes' | 'localeProvider'> & {
      provider: string | null;
      size: string;
      privileges: Privilege[] | null;
    }
  >(`
    select d.datname as name, d.oid, pg_get_userbyid(d.datdba) as owner, pg_encoding_to_char(d.encoding) as encoding,
      d.datcollate as collate, d.datctype as ctype, d.datconnlimit as "connectionLimit",
      to_jsonb(d) ->> 'datlocprovider' as provider,
      coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale') as "icuLocale",
      to_jsonb(d) ->> 'daticurules' as "icuRules", to_jsonb(d) ->> 'datcollversion' as "collationVersion",
      shobj_description(d.oid, 'pg_database') as comment, pg_database_size(d.oid) as size,
      case when d.datacl is not null then (
        select coalesce(json_agg(json_build_object(
          'grantee', case a.grantee when 0 then '' else pg_get_userbyid(a.grantee) end,
          'grantor', pg_get_userbyid(a.grantor), 'privilege', a.privilege_type, 'grantable', a.is_grantable)), '[]')
        from aclexplode(d.datacl) a) end as privileges
    from pg_database d where d.datname = current_database()`);
  const { provider, size, ...facts } = only(rows);
  const localeProvider = provider === 'i' ? 'icu' : provider === 'b' ? 'builtin' : 'libc';
  return { ...facts, localeProvider, sizeBytes: Number(size) };
}

async function readSettings(client: pg.Client): Promise<DatabaseSetting[]> {
  const { rows } = await client.query<DatabaseSetting>(`
    select case s.setrole when 0 then null else pg_get_userbyid(s.setrole) end as role,
      split_part(entry, '=', 1) as name, substr(entry, strpos(entry, '=') + 1) as value, ${SUPERUSER_SETTING} as superuser
    from pg_db_role_setting s cross join unnest(s.setconfig) as entry
    where s.setdatabase = (select oid from pg_database where datname = current_database())
    order by 1 nulls first, 2`);
  return rows.map((setting) => (isOfApplication(setting.name) ? { ...setting, value: null } : setting));
}

async function readExtensions(client: pg.Client): Promise<ExtensionFacts[]> {
  const { rows } = await client.query<ExtensionFacts>(`
    select x.extname as name, x.extversion as version, n.nspname as schema
    from pg_extension x join pg_namespace n on n.oid = x.extnamespace order by 1`);
  return rows;
}

/**
 * The roles that the database names, those they are members of, and their members; the server's own `pg_…` roles
 * are everywhere. Administrators are members of many customers' roles, so nothing is reached down to or through them; and
 * whoever restores owns the extensions.
 * The superuser that `initdb` made is not in pg_shdepend, so owners are also read from the objects.
 */
const ROLES = `
  with recursive database as (
    select oid, datdba from pg_database where datname = current_database()
  ), named as (
    select s.refobjid as oid from pg_shdepend s, database d where s.refclassid = 'pg_authid'::regclass
      and s.classid <> 'pg_extension'::regclass and (s.dbid = d.oid or s.dbid = 0 and s.classid = 'pg_database'::regclass and s.objid = d.oid)
    union select datdba from database
    union select setrole from pg_db_role_setting s join database d on d.oid = s.setdatabase
    union select relowner from pg_class where oid >= 16384
    union select proowner from pg_proc where oid >= 16384
    union select nspowner from pg_namespace where oid >= 16384
    union select lomowner from pg_largeobject_metadata
  ), above as (
    select oid from named
    union select m.roleid from above join pg_roles r on r.oid = above.oid and not r.rolsuper and not r.rolcreaterole
      join pg_auth_members m on m.member = above.oid
  ), below as (
    select oid from named
    union select m.member from below join pg_roles r on r.oid = below.oid and not r.rolsuper and r.rolname !~ '^pg_'
      join pg_auth_members m on m.roleid = below.oid
      join pg_roles member on member.oid = m.member and not member.rolsuper and not member.rolcreaterole
  )
  select r.rolname as name, r.rolcanlogin as login, r.rolsuper as superuser, r.rolinherit as inherit,
    r.rolcreaterole as "createRole", r.rolcreatedb as "createDatabase", r.rolreplication as replication,
    r.rolbypassrls as "bypassRowSecurity", r.rolconnlimit as "connectionLimit"
  from pg_roles r
  where r.oid in (select oid from above union select oid from below) and r.rolname !~ '^pg_'
  order by 1`;

async function readRoles(client: pg.Client): Promise<RoleFacts[]> {
  const { rows } = await client.query<RoleFacts>(ROLES);
  return rows;
}

/** Among these roles, and of these in the server's own `pg_…` roles. */
async function readMemberships(client: pg.Client, roles: readonly RoleFacts[]): Promise<Membership[]> {
  // Grouped, because from server 16 on the same membership can be granted by several roles; any of them gives the right.
  const { rows } = await client.query<{ role: string; member: string; options: Omit<Membership, 'role' | 'member'> }>(
    `select r.rolname as role, member.rolname as member, jsonb_strip_nulls(jsonb_build_object('admin', bool_or(m.admin_option),
       'inherit', bool_or((to_jsonb(m) ->> 'inherit_option')::bool), 'set', bool_or((to_jsonb(m) ->> 'set_option')::bool))) as options
     from pg_auth_members m join pg_roles r on r.oid = m.roleid join pg_roles member on member.oid = m.member
     where member.rolname = any ($1) and (r.rolname = any ($1) or r.rolname ~ '^pg_')
     group by 1, 2 order by 1, 2`,
    [roles.map((role) => role.name)],
  );
  return rows.map(({ role, member, options: { admin, ...options } }) => ({ role, member, admin, ...options }));
}

function only<T>(rows: readonly T[]): T {
  const [row] = rows;
  if (row === undefined) throw new Error('a query that always gives one row gave none');
  return row;
}
