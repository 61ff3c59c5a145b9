import { startBackup, type NewBackup } from './backups.ts';
import type { BackupState } from './backup-states.ts';
import type { Catalog } from './open.ts';

/**
 * Writes the row of a dump of another job that becomes a backup, and gives its state. One that failed before is tried again:
 * its dump may have been half written, or its destination away.
 * @throws CofreError `refused` when another run is at it, or did it.
 */
export async function startAdoption(
  catalog: Catalog,
  backup: NewBackup & { readonly pipeline: 'adopted' },
): Promise<BackupState> {
  await catalog.query(
    `UPDATE cofre.backups SET state = 'running', workflow_id = $2, run_id = $3, finished_at = NULL, error_code = NULL,
       error_message = NULL, error_hint = NULL WHERE id = $1 AND adopted AND state = 'failed'`,
    [backup.id, backup.workflowId, backup.runId],
  );
  return await startBackup(catalog, backup);
}
