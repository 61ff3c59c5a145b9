import { openClient, type PostgresTarget } from '../../postgres/connect.ts';

/** Locks a table as a migration would, so that a dump stands still in its middle, until the answer is called. */
export async function holdTable(target: PostgresTarget, table: string): Promise<() => Promise<void>> {
  const client = await openClient(target);
  await client.query(`BEGIN; LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`);
  return async () => {
    await client.query('ROLLBACK');
    await client.end();
  };
}
