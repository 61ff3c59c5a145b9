import pg from 'pg';

import type { Inventory } from '../../catalog/manifest.ts';

/**
 * Objects that are a user's own: not the system's, not a temporary table's, and not an extension's, because those
 * come and go with the extension. What is made together with another object (the functions of a range type) goes with it.
 */
function own(catalog: string, alias: string): string {
  return `not exists (select 1 from pg_depend e where e.classid = '${catalog}'::regclass and e.objid = ${alias}.oid
    and e.objsubid = 0 and e.deptype in ('e', 'i') and (e.deptype = 'e' or '${catalog}' = 'pg_proc'))`;
}

/**
 * `public` is not counted, because a new database has it whether or not the source still does; indexes that pg_dump
 * leaves out (a failed CREATE INDEX CONCURRENTLY) and the NOT NULL constraints that only server 18 lists are not either.
 */
const INVENTORY = `
  with schema as (
    select oid, nspname from pg_namespace n where nspname !~ '^pg_' and nspname <> 'information_schema'
  ), relation as (
    select c.oid, c.relkind, c.relispopulated from pg_class c join schema on schema.oid = c.relnamespace where ${own('pg_class', 'c')}
  ), routine as (
    select p.oid from pg_proc p join schema on schema.oid = p.pronamespace where ${own('pg_proc', 'p')}
  ), type as (
    select t.oid from pg_type t join schema on schema.oid = t.typnamespace left join pg_class c on c.oid = t.typrelid
    where ${own('pg_type', 't')} and (t.typtype in ('d', 'e', 'r', 'p') or t.typtype = 'c' and c.relkind = 'c'
      or t.typtype = 'b' and not exists (select 1 from pg_type element where element.typarray = t.oid))
  ), index as (
    select i.indisvalid from pg_index i join relation on relation.oid = i.indrelid
    where i.indisready and (i.indisvalid or relation.relkind = 'p')
  ), restriction as (
    select k.convalidated from pg_constraint k
    where k.contype <> 'n' and (k.conrelid in (select oid from relation) or k.contypid in (select oid from type))
  )
  select
    (select count(*) from schema where nspname <> 'public'
      and not exists (select 1 from pg_depend e where e.classid = 'pg_namespace'::regclass and e.objid = schema.oid and e.deptype = 'e')) as schemas,
    (select count(*) from relation where relkind in ('r', 'p')) as tables,
    (select count(*) from pg_attribute a join relation on relation.oid = a.attrelid
      where a.attnum > 0 and not a.attisdropped and relkind in ('r', 'p', 'v', 'm', 'f', 'c')) as columns,
    (select count(*) from relation where relkind = 'v') as views,
    (select count(*) from relation where relkind = 'm') as "materializedViews",
    (select count(*) from relation where relkind = 'm' and relispopulated) as "populatedMaterializedViews",
    (select count(*) from relation where relkind = 'S') as sequences,
    (select count(*) from index) as indexes,
    (select count(*) from index where indisvalid) as "validIndexes",
    (select count(*) from restriction) as constraints,
    (select count(*) from restriction where convalidated) as "validConstraints",
    (select count(*) from pg_trigger t join relation on relation.oid = t.tgrelid where not t.tgisinternal) as triggers,
    (select count(*) from routine) as functions,
    (select count(*) from type) as types,
    (select count(*) from pg_policy p join relation on relation.oid = p.polrelid) as policies,
    (select count(*) from pg_rewrite r join relation on relation.oid = r.ev_class where r.rulename <> '_RETURN') as rules,
    (select count(*) from pg_event_trigger t where ${own('pg_event_trigger', 't')}) as "eventTriggers",
    (select count(*) from pg_publication p where ${own('pg_publication', 'p')}) as publications,
    (select count(*) from relation where relkind = 'f') as "foreignTables",
    (select count(*) from pg_largeobject_metadata) as "largeObjects"`;

/** Counts a database's objects. A complete restore of its dump gives the same numbers. */
export async function readInventory(client: pg.Client): Promise<Inventory> {
  const { rows } = await client.query<Record<keyof Inventory, string>>(INVENTORY);
  const counts = Object.entries(rows[0] ?? {}).map(([name, count]) => [name, Number(count)]);
  return Object.fromEntries(counts) as Inventory;
}

/**
 * Counts the rows of tables, each alone (`only`: partitions and children have rows of their own), in the order given.
 * @throws CofreError through `withClient` when row-level security would hide rows.
 */
export async function countRows<Table extends { readonly schema: string; readonly name: string }>(
  client: pg.Client,
  tables: Iterable<Table>,
): Promise<Map<Table, number>> {
  await client.query('set row_security = off');
  const counts = new Map<Table, number>();
  for (const table of tables) {
    const name = `${pg.escapeIdentifier(table.schema)}.${pg.escapeIdentifier(table.name)}`;
    const { rows } = await client.query<{ count: string }>(`select count(*) from only ${name}`);
    counts.set(table, Number(rows[0]?.count));
  }
  return counts;
}
