import { createHash } from 'node:crypto';

import type pg from 'pg';

import { withClient, type PostgresTarget } from '../postgres/connect.ts';

/** How many tables are read at once. */
const SESSIONS = 2;
const LARGE_OBJECTS_AT_ONCE = 500;

/** A value must become the same text whatever the server, the database or the role is set to; and all rows must be seen. */
const PINNED_SETTINGS = `
  SET search_path = ''; SET timezone = 'UTC'; SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres';
  SET extra_float_digits = 3; SET bytea_output = 'hex'; SET lc_monetary = 'C'; SET row_security = off;
  SET statement_timeout = 0; SET lock_timeout = 0; SET work_mem = '64MB'; SET jit = off`;

const TABLES = `
  SELECT format('%I.%I', n.nspname, c.relname) AS name, c.relispopulated AS populated
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'm') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
  ORDER BY pg_catalog.pg_table_size(c.oid) DESC`;

interface Table {
  readonly name: string;
  readonly populated: boolean;
}

/** Number and digest of the rows of each table (partitions apart, children not in their parents) and materialized view. */
export async function digestTables(target: PostgresTarget): Promise<{ digests: Map<string, string>; rows: number }> {
  const queue = await withClient(target, async (client) => (await client.query<Table>(TABLES)).rows);
  const digests = new Map<string, string>();
  let rows = 0;
  await Promise.all(
    Array.from({ length: SESSIONS }, () =>
      withClient(target, async (client) => {
        await client.query(PINNED_SETTINGS);
        for (let table = queue.shift(); table !== undefined; table = queue.shift()) {
          const digest = table.populated ? await digestTable(client, table.name) : undefined;
          rows += digest?.rows ?? 0;
          digests.set(table.name, digest === undefined ? 'not populated' : `${digest.rows} rows, ${digest.sha256}`);
        }
      }),
    ),
  );
  return { digests, rows };
}

/**
 * A digest of the rows as a multiset: each row's text is hashed, and the hashes are hashed in their own order. So the
 * order of rows does not matter, and how often each one is there does. In 256 groups, because one value in PostgreSQL
 * holds at most 1 GB.
 */
async function digestTable(client: pg.Client, name: string): Promise<{ rows: number; sha256: string }> {
  // concat() uses the output function of the row's type; a cast to text could be one that somebody defined. The alias
  // is one that no column has, because a column would come before the row.
  const { rows: groups } = await client.query<{ rows: string; digest: Buffer }>(`
    SELECT count(*) AS rows, sha256(string_agg(hash, ''::bytea ORDER BY hash)) AS digest
    FROM (SELECT sha256(convert_to(concat("the whole row"), getdatabaseencoding())) AS hash
      FROM ONLY ${name} AS "the whole row") AS hashed
    GROUP BY get_byte(hash, 0) ORDER BY get_byte(hash, 0)`);
  const hash = createHash('sha256');
  for (const group of groups) hash.update(group.digest);
  return { rows: groups.reduce((sum, group) => sum + Number(group.rows), 0), sha256: hash.digest('hex') };
}

/** Where each sequence stands. */
export async function readSequences(client: pg.Client): Promise<Map<string, string>> {
  const { rows } = await client.query<{ name: string }>(`
    SELECT format('%I.%I', n.nspname, c.relname) AS name
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'S' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'`);
  const sequences = new Map<string, string>();
  for (const { name } of rows) {
    const { rows: states } = await client.query<{ state: string }>(
      `SELECT concat('at ', last_value, CASE WHEN is_called THEN ', used' ELSE ', not used' END) AS state FROM ${name}`,
    );
    sequences.set(name, states[0]?.state ?? '');
  }
  return sequences;
}

interface LargeObject {
  readonly oid: string;
  readonly size: string;
  readonly text: string;
}

/** Content, owner, privileges and comment of each large object; the content a megabyte at a time. */
export async function digestLargeObjects(
  client: pg.Client,
): Promise<{ digests: Map<string, string>; sizeBytes: number }> {
  const digests = new Map<string, string>();
  let sizeBytes = 0;
  let last = '0';
  for (;;) {
    const { rows } = await client.query<LargeObject>(LARGE_OBJECTS, [last, LARGE_OBJECTS_AT_ONCE]);
    for (const object of rows) {
      digests.set(object.oid, `${object.size} bytes, ${object.text}`);
      sizeBytes += Number(object.size);
      last = object.oid;
    }
    if (rows.length < LARGE_OBJECTS_AT_ONCE) return { digests, sizeBytes };
  }
}

// 262144 opens for reading, 2 seeks from the end; what is opened is closed when the statement ends.
const LARGE_OBJECTS = `
  SELECT object.oid::text AS oid, size,
    concat_ws(', ', content, 'owner ' || object.lomowner::regrole, privileges, 'comment ' || obj_description(object.oid, 'pg_largeobject')) AS text
  FROM (SELECT * FROM pg_largeobject_metadata WHERE oid > $1::oid ORDER BY oid LIMIT $2) AS object,
    LATERAL (SELECT lo_lseek64(lo_open(object.oid, 262144), 0, 2) AS size OFFSET 0) AS measured,
    LATERAL (SELECT encode(sha256(coalesce(string_agg(sha256(lo_get(object.oid, start, 1048576)), ''::bytea ORDER BY start), '')), 'hex') AS content
      FROM generate_series(0, size - 1, 1048576) AS start) AS digested,
    LATERAL (SELECT string_agg(format('%s may %s%s, by %s', grantee::regrole, privilege_type, CASE WHEN is_grantable THEN ' and grant it' END, grantor::regrole), ', '
        ORDER BY grantee::regrole::text COLLATE "C", privilege_type, grantor) AS privileges
      FROM aclexplode(coalesce(object.lomacl, acldefault('L', object.lomowner)))) AS allowed
  ORDER BY object.oid`;
