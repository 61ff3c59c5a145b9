import pg from 'pg';

import { withClient, type PostgresTarget } from '../../postgres/connect.ts';
import { inTurns } from './in-turns.ts';
import { restoreStatement } from './restore-target.ts';

/**
 * ANALYZE of a whole restored database, by several sessions, as `login`, its owner: it runs the functions in the indexes of
 * others. A partitioned table's ANALYZE goes through its partitions, so these are not listed.
 */
export async function analyzeDatabase(login: PostgresTarget, sessions: number): Promise<void> {
  const { rows } = await withClient(login, (client) =>
    client.query<{ schema: string; name: string }>(`
      SELECT n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE c.relkind IN ('r', 'm', 'p') AND NOT c.relispartition AND c.relpersistence <> 't' AND NOT c.relisshared
       ORDER BY pg_relation_size(c.oid) DESC`),
  );
  await inTurns(rows, sessions, async (tables) => {
    await withClient(login, async (client) => {
      await client.query(`SET search_path = ''`);
      // Each table is a transaction of its own, and thousands of waits for the disk would take longer than the work.
      await client.query('SET synchronous_commit = off');
      for (const { schema, name } of tables) {
        const table = `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(name)}`;
        const what = `the restored table ${schema}.${name} cannot be analyzed`;
        await restoreStatement(client, what, `ANALYZE ${table}`, 'theirs');
      }
    });
  });
}
