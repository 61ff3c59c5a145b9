import type pg from 'pg';

import { withClient, type PostgresTarget } from '../../postgres/connect.ts';

/**
 * Lends one exported snapshot: what `client` reads in `use`, and every tool that is given `snapshotId`, sees the same
 * data. The transaction stays open, and is never ended for being idle, until `use` settles.
 * A session that was lost meanwhile fails the whole, even if nobody had used it again.
 * @throws CofreError `database-locked` when `client` does not get a lock within `lockWaitMs`; others queue behind it.
 */
export async function withSnapshot<T>(
  target: PostgresTarget,
  lockWaitMs: number,
  use: (snapshotId: string, client: pg.Client) => Promise<T>,
): Promise<T> {
  return withClient(target, async (client) => {
    await client.query(`set lock_timeout = ${lockWaitMs}`);
    await client.query('begin transaction isolation level repeatable read, read only');
    const { rows } = await client.query<{ id: string }>('select pg_export_snapshot() as id');
    const result = await use(rows[0]?.id ?? '', client);
    await client.query('commit');
    return result;
  });
}
