import type pg from 'pg';

const NAMED = 3;

/** As the view itself decides whether to show the options: to a superuser, to the one mapped, and to the server's owner. */
const HIDDEN = `
  select format('%I on the server %I', m.usename, m.srvname) as mapping, current_user as login
  from pg_user_mappings m join pg_foreign_server s on s.oid = m.srvid
  where m.umoptions is null and not (select rolsuper from pg_roles where rolname = current_user) and not case
    when m.umuser = 0 then pg_has_role(s.srvowner, 'USAGE')
    else m.usename = current_user and (pg_has_role(s.srvowner, 'USAGE') or has_server_privilege(s.oid, 'USAGE')) end
  order by 1`;

/**
 * A warning where this login does not see the options of others' user mappings (most often a remote login and its
 * password): pg_dump then writes the mapping without them and says nothing.
 */
export async function hiddenMappings(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ mapping: string; login: string }>(HIDDEN);
  const [first] = rows;
  if (first === undefined) return [];
  const named = rows.slice(0, NAMED).map(({ mapping }) => mapping);
  const more = rows.length > NAMED ? ` and ${rows.length - NAMED} more` : '';
  return [
    `the options of the user mapping of ${named.join(', ')}${more} cannot be read by ${first.login} and are not in the backup: only a superuser reads them`,
  ];
}
