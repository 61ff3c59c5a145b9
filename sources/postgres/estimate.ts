import pg from 'pg';

import { nativeCode } from '../../errors/error.ts';
import { SQLSTATE } from '../../postgres/connect.ts';

const SAMPLED_TABLES = 30;
const SAMPLED_PAGES = 200;
const SAMPLE_TIMEOUT_MS = 3_000;
const QUERY_CANCELED = '57014';

/**
 * Estimates how many bytes the raw dump of the current database takes: its biggest tables by a sample of their pages
 * written as text, the others and the large objects by their size on disk. Takes seconds, whatever the database's size.
 */
export async function estimateRawBytes(client: pg.Client): Promise<number> {
  const tables = await readSizes(client);
  if (tables === undefined) return await databaseSize(client);
  let bytes = 0;
  for (const [index, table] of tables.entries()) {
    const sampled = index < SAMPLED_TABLES && Number(table.pages) > 0;
    const sample = sampled ? await sampleTextBytes(client, table.schema, table.name, Number(table.pages)) : undefined;
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
}

/** The tables, the biggest first; undefined while somebody has locked one: to be measured it must be locked for a moment. */
async function readSizes(client: pg.Client): Promise<TableSize[] | undefined> {
  await client.query(`begin read only; set local lock_timeout = ${SAMPLE_TIMEOUT_MS}`);
  try {
    const { rows } = await client.query<TableSize>(`
      select n.nspname as schema, c.relname as name, pg_table_size(c.oid) as size,
        pg_relation_size(c.oid) / current_setting('block_size')::int as pages
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

/** The text of a whole table, judged by some of its pages; undefined where even those take too long to read. */
async function sampleTextBytes(
  client: pg.Client,
  schema: string,
  name: string,
  pages: number,
): Promise<number | undefined> {
  const percent = Math.min(100, (100 * SAMPLED_PAGES) / pages);
  const table = `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(name)}`;
  await client.query(
    `begin read only; set local statement_timeout = ${SAMPLE_TIMEOUT_MS}; set local row_security = off`,
  );
  try {
    // A row written as text is about as long as its line in the dump: commas for tabs, two quotes more here and there.
    const { rows } = await client.query<{ bytes: string | null }>(
      `select sum(octet_length(t::text)) as bytes from only ${table} t tablesample system (${percent}) repeatable (1)`,
    );
    await client.query('commit');
    return (Number(rows[0]?.bytes ?? 0) * 100) / percent;
  } catch (error) {
    await client.query('rollback');
    if (nativeCode(error) === QUERY_CANCELED) return undefined;
    throw error;
  }
}
