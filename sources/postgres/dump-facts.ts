import type pg from 'pg';

import type { DatabaseFacts, Inventory } from '../../catalog/manifest.ts';
import { doubtfulConstraints } from './doubtful-constraints.ts';
import { IS_DUMPED } from './dumped.ts';
import { readDatabaseFacts } from './facts.ts';
import { readInventory } from './inventory.ts';
import { hiddenMappings } from './user-mappings.ts';

/** What the catalog of the dump's own snapshot says about it. */
export interface DumpFacts {
  readonly database: DatabaseFacts;
  readonly inventory: Inventory;
  /** By oid: pg_restore's list gives the oid exactly, and names only for the eye. */
  readonly names: ReadonlyMap<number, TableName>;
  readonly warnings: readonly string[];
}

export interface TableName {
  readonly schema: string;
  readonly name: string;
  /** A dump of the whole database has its rows. */
  readonly dumped: boolean;
}

export async function readDumpFacts(client: pg.Client): Promise<DumpFacts> {
  return {
    database: await readDatabaseFacts(client),
    inventory: await readInventory(client),
    names: await readTableNames(client),
    warnings: [...(await hiddenMappings(client)), ...(await doubtfulConstraints(client))],
  };
}

async function readTableNames(client: pg.Client): Promise<Map<number, TableName>> {
  const { rows } = await client.query<TableName & { oid: number }>(`
    select c.oid, n.nspname as schema, c.relname as name,
      ${IS_DUMPED} and not (c.relpersistence = 'u' and pg_is_in_recovery()) as dumped
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind = 'r' and c.oid >= 16384`);
  return new Map(rows.map(({ oid, ...table }) => [oid, table]));
}
