import type pg from 'pg';

import type { DatabaseFacts, DumpContent, Inventory } from '../../catalog/manifest.ts';
import { CofreError } from '../../errors/error.ts';
import { inTurns } from './in-turns.ts';
import { countRows, readInventory } from './inventory.ts';
import { withAdminIn, type Replacement, type RestoreTarget } from './restore-target.ts';

export interface Comparison {
  /** Whether there was a manifest to compare with; a dump of the old jobs has none. */
  readonly compared: boolean;
  readonly tables: number;
  readonly rows: number;
  readonly inventory: Inventory;
}

const NAMED = 20;

/**
 * Compares a restored database with what its backup says it holds: the rows of every table, counted by `sessions` at
 * once, the number of every kind of object, the extensions. Without a manifest (`content` null) it only counts.
 * @throws CofreError `comparison-failed` naming every difference.
 */
export async function compareWithManifest(
  target: RestoreTarget,
  replacement: Replacement,
  content: DumpContent | null,
  facts: DatabaseFacts | null,
  sessions = 1,
): Promise<Comparison> {
  return withAdminIn(target, replacement, async (client) => {
    const rowsOf = new Map<string, number>();
    await inTurns(await listTables(client), sessions, async (tables) => {
      const counts = await withAdminIn(target, replacement, (counting) => countRows(counting, tables));
      for (const [table, rows] of counts) rowsOf.set(keyOf(table), rows);
    });
    const inventory = await readInventory(client);
    const compared = content === null ? [] : content.tables.map((table) => ({ table, rows: rowsOf.get(keyOf(table)) }));
    const differences = [
      ...compared.flatMap(({ table, rows }) => differs(`rows of ${table.schema}.${table.name}`, table.rows, rows)),
      ...(content?.inventory == null ? [] : compareInventory(content.inventory, inventory)),
      ...(content === null ? [] : differs('large objects', content.largeObjects.count, inventory.largeObjects)),
      ...(facts === null ? [] : await compareExtensions(client, facts)),
    ];
    if (differences.length > 0) {
      const more = differences.length > NAMED ? ` and ${differences.length - NAMED} more` : '';
      throw new CofreError(
        'comparison-failed',
        `the restored database differs from its backup: ${differences.slice(0, NAMED).join('; ')}${more}`,
        {
          hint: 'the live database was not touched; restore another backup, and verify this one',
        },
      );
    }
    const total = content === null ? [...rowsOf.values()] : compared.map(({ rows }) => rows ?? 0);
    return {
      compared: content !== null,
      tables: total.length,
      rows: total.reduce((sum, rows) => sum + rows, 0),
      inventory,
    };
  });
}

function compareInventory(expected: Inventory, found: Inventory): string[] {
  return (Object.keys(expected) as (keyof Inventory)[]).flatMap((kind) => differs(kind, expected[kind], found[kind]));
}

/** Their versions may differ where the server has not the recorded one: the restore's plan says so. */
async function compareExtensions(client: pg.Client, facts: DatabaseFacts): Promise<string[]> {
  const { rows } = await client.query<{ name: string; schema: string }>('SELECT extname AS name FROM pg_extension');
  const missing = facts.extensions.filter(({ name }) => !rows.some((row) => row.name === name));
  const added = rows.filter(({ name }) => !facts.extensions.some((extension) => extension.name === name));
  return [
    ...missing.map(({ name }) => `the extension ${name} is missing`),
    ...added.map(({ name }) => `the extension ${name} is new`),
  ];
}

/** But for an extension's own that an admin who is no superuser may not read. */
async function listTables(client: pg.Client): Promise<{ schema: string; name: string }[]> {
  const { rows } = await client.query<{ schema: string; name: string }>(
    `SELECT n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        AND has_table_privilege(c.oid, 'SELECT') ORDER BY pg_relation_size(c.oid) DESC`,
  );
  return rows;
}

function differs(what: string, expected: number, found: number | undefined): string[] {
  return expected === found ? [] : [`${what}: ${expected} in the backup, ${found ?? 'no such table'} here`];
}

function keyOf({ schema, name }: { schema: string; name: string }): string {
  return JSON.stringify([schema, name]);
}
