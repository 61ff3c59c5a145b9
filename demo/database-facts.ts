import type pg from 'pg';

/** What belongs to the database as a whole and is not in a dump of its schema, by name. */
export async function readDatabaseFacts(client: pg.Client): Promise<Map<string, string>> {
  const { rows } = await client.query<{ name: string; value: string }>(FACTS);
  return new Map(rows.map((row) => [row.name, row.value]));
}

// The columns of pg_database differ between major versions: all of them but those that number, name or age a database,
// or say which library the server runs on.
const FACTS = `
  WITH this AS (SELECT * FROM pg_database WHERE datname = current_database())
  SELECT 'owner' AS name, datdba::regrole::text AS value FROM this
  UNION ALL
  SELECT key, coalesce(value, 'none') FROM this, jsonb_each_text(to_jsonb(this) - ARRAY['oid', 'datname', 'datdba', 'datacl',
    'dattablespace', 'datlastsysoid', 'datcollversion', 'datfrozenxid', 'datminmxid', 'dathasloginevt'])
  UNION ALL
  SELECT format('privilege %s of %s', privilege_type, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END),
    string_agg(format('given by %s%s', grantor::regrole, CASE WHEN is_grantable THEN ', may grant it' END), '; ' ORDER BY grantor)
  FROM this, aclexplode(coalesce(datacl, acldefault('d', datdba))) GROUP BY privilege_type, grantee
  UNION ALL
  SELECT concat_ws(' ', 'setting', split_part(setting, '=', 1), 'of ' || nullif(setrole, 0)::regrole), substr(setting, strpos(setting, '=') + 1)
  FROM this JOIN pg_db_role_setting s ON s.setdatabase = this.oid, unnest(setconfig) AS setting
  UNION ALL
  SELECT 'comment', shobj_description(this.oid, 'pg_database') FROM this WHERE shobj_description(this.oid, 'pg_database') IS NOT NULL
  UNION ALL
  SELECT 'extension ' || extname, format('version %s in %I', extversion, nspname) FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace`;
