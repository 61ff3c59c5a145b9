import type { Catalog, Queries } from './open.ts';

/** A database that a restore replaced, and that somebody has to drop when its time is over. */
export interface OldDatabase {
  readonly restoreId: string;
  readonly environment: string;
  readonly database: string;
  readonly oid: number;
  /** The server's name in the configuration. */
  readonly server: string;
  readonly until: string;
}

/** Those of restores that have ended, of which nobody has said yet that they are dropped or kept for good. */
export async function waitingOldDatabases(catalog: Queries): Promise<OldDatabase[]> {
  const rows = await catalog.query<Omit<OldDatabase, 'until'> & { until: Date }>(
    `SELECT id AS "restoreId", environment, old_database AS database, old_oid AS oid, old_server AS server,
       old_until AS until
     FROM cofre.restores WHERE old_fate = 'waiting' AND state <> 'running' ORDER BY old_until`,
  );
  return rows.map((row) => ({ ...row, until: row.until.toISOString() }));
}

/** Records what became of it; what stands already stays. */
export async function settleOldDatabase(catalog: Catalog, restoreId: string, fate: 'dropped' | 'kept'): Promise<void> {
  await catalog.query(`UPDATE cofre.restores SET old_fate = $2 WHERE id = $1 AND old_fate = 'waiting'`, [
    restoreId,
    fate,
  ]);
}
