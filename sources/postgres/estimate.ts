import pg from 'pg';

import { nativeCode } from '../../errors/error.ts';
import { SQLSTATE } from '../../postgres/connect.ts';

const SAMPLED_TABLES = 30;
const SAMPLED_PAGES = 200;
const SAMPLE_TIMEOUT_MS = 3_000;
const QUERY_CANCELED = '57014';

/**
 * Estimates how many bytes the raw dump of the current database takes: its biggest tables by a sample of their pages,
 * the others and the large objects by their size on disk. Takes seconds, whatever the database's size.
 */
export async function estimateRawBytes(client: pg.Client): Promise<number> {
  const tables = await readSizes(client);
  if (tables === undefined) return await databaseSize(client);
  let bytes = 0;
  for (const [index, table] of tables.entries()) {
    const sampled = index < SAMPLED_TABLES && Number(table.pages) > 0;
    const sample = sampled ? await sampleRawBytes(client, table) : undefined;
    bytes += sample ?? Number(table.size);
  }
  const { rows } = await client.query<{ size: string }>("select pg_relation_size('pg_largeobject') as size");
  return Math.round(bytes + Number(rows[0]?.size ?? 0));
}

interface TableSize {
  readonly schema: string;
  readonly name: string;
  readonly pages: string;
  readonly size: string;
  /** SQL: the bytes of one row of `t`. */
  readonly rowBytes: string;
}

/**
 * SQL: the bytes of a column `a` in the dump, as SQL. Nothing of the customer's may run here, and a cast to text can be
 * a function of theirs: concat() takes a type's output function, and only the system's own types are given to it.
 * Others are judged by their size on disk, twice: as text they are longer, and there they may be compressed.
 */
const COLUMN_BYTES = `
  case when a.atttypid < 16384 or y.typtype = 'e' or y.typtype = 'd' and y.typbasetype < 16384
    then format('octet_length(concat(t.%I))::bigint', a.attname)
    else format('coalesce(2 * pg_column_size(t.%I), 0)::bigint', a.attname) end`;

/** The tables, the biggest first; undefined while somebody has locked one: to be measured it must be locked for a moment. */
async function readSizes(client: pg.Client): Promise<TableSize[] | undefined> {
  await client.query(`begin read only; set local lock_timeout = ${SAMPLE_TIMEOUT_MS}`);
  try {
    const { rows } = await client.query<TableSize>(`
      select n.nspname as schema, c.relname as name, pg_table_size(c.oid) as size,
        pg_relation_size(c.oid) / current_setting('block_size')::int as pages,
        (select coalesce(string_agg(${COLUMN_BYTES} || ' + 1', ' + '), '1')
          from pg_attribute a join pg_type y on y.oid = a.atttypid
          where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = '') as "rowBytes"
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where c.relkind = 'r' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
      order by pg_table_size(c.oid) desc`);
    await client.query('commit');
    return rows;
  } catch (error) {
    await client.query('rollback');
    if (nativeCode(error) === SQLSTATE.lockNotAvailable) return undefined;
    throw error;
  }
}

/** On disk, indexes too: seldom less than the raw dump takes. */
async function databaseSize(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ size: string }>('select pg_database_size(current_database()) as size');
  return Number(rows[0]?.size ?? 0);
}

/**
 * The raw data of a whole table, judged by some of its pages; undefined where even those take too long to read, and
 * where the table was changed since or may not be read: an extension's own, which is not dumped.
 */
async function sampleRawBytes(client: pg.Client, { schema, name, ...table }: TableSize): Promise<number | undefined> {
  const percent = Math.min(100, (100 * SAMPLED_PAGES) / Number(table.pages));
  await client.query(
    `begin read only; set local statement_timeout = ${SAMPLE_TIMEOUT_MS}; set local row_security = off`,
  );
  try {
    const { rows } = await client.query<{ bytes: string | null }>(
      `select sum(${table.rowBytes}) as bytes
       from only ${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(name)} t tablesample system (${percent}) repeatable (1)`,
    );
    await client.query('commit');
    return (Number(rows[0]?.bytes ?? 0) * 100) / percent;
  } catch (error) {
    await client.query('rollback');
    const code = nativeCode(error);
    if (code === QUERY_CANCELED || code?.startsWith('42')) return undefined;
    throw error;
  }
}
