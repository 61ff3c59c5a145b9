import type { BackupState } from './backup-states.ts';
import { closeCopies } from './backups.ts';
import type { FailureNote } from './errors.ts';
import type { Catalog, Queries } from './open.ts';

/** A backup or restore that runs, as far as the catalog knows, and the run that owns it. */
export interface OwnedRow {
  readonly kind: 'backup' | 'restore';
  readonly id: string;
  readonly environment: string;
  readonly workflowId: string;
  /** Of the first run of the chain: a reset makes a new run of the same chain. */
  readonly runId: string;
}

/** Everything that runs, oldest first. */
export async function runningRows(catalog: Queries): Promise<OwnedRow[]> {
  return await catalog.query<OwnedRow>(
    `SELECT 'backup' AS kind, id, environment, workflow_id AS "workflowId", run_id AS "runId", started_at
       FROM cofre.backups WHERE state = 'running'
     UNION ALL
     SELECT 'restore', id, environment, workflow_id, run_id, started_at FROM cofre.restores WHERE state = 'running'
     ORDER BY started_at`,
  );
}

/**
 * Closes what no run owns any more, and gives the state that it has now: `failed`, or `incomplete` for a backup with a
 * verified copy. null: its run has closed it meanwhile, and nothing was changed.
 */
export async function closeLost(
  catalog: Catalog,
  { kind, id }: Pick<OwnedRow, 'kind' | 'id'>,
  error: FailureNote,
): Promise<'failed' | 'incomplete' | null> {
  const note = [error.code, error.message, error.hint ?? null];
  if (kind === 'restore') {
    const closed = await catalog.query(
      `UPDATE cofre.restores SET state = 'failed', error_code = $2, error_message = $3, error_hint = $4, finished_at = now()
       WHERE id = $1 AND state = 'running' RETURNING id`,
      [id, ...note],
    );
    return closed.length === 0 ? null : 'failed';
  }
  return await catalog.transaction(async (transaction) => {
    const [row] = await transaction.query<{ state: BackupState }>(
      'SELECT state FROM cofre.backups WHERE id = $1 FOR UPDATE',
      [id],
    );
    if (row?.state !== 'running') return null;
    await closeCopies(transaction, id, error);
    const [closed] = await transaction.query<{ state: 'failed' | 'incomplete' }>(
      `UPDATE cofre.backups b SET error_code = $2, error_message = $3, error_hint = $4, finished_at = now(), state =
         CASE WHEN EXISTS (SELECT FROM cofre.copies c WHERE c.backup_id = b.id AND c.state = 'verified')
              THEN 'incomplete' ELSE 'failed' END
       WHERE id = $1 RETURNING state`,
      [id, ...note],
    );
    return closed?.state ?? null;
  });
}
