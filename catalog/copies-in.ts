import { lockBackup } from './backups.ts';
import type { BackupState, CopyState } from './backup-states.ts';
import type { FailureNote } from './errors.ts';
import { HELD } from './held.ts';
import type { ManifestObject } from './manifest.ts';
import type { Catalog, Queries } from './open.ts';

/** What the catalog says of one backup in one destination. */
export interface KnownCopy {
  readonly backupId: string;
  readonly environment: string;
  readonly backupState: BackupState;
  readonly state: CopyState;
  /** Changes with every change of the row: what was decided from it holds only as long as it stands. */
  readonly version: string;
  /** What its manifest names; null where the catalog has no manifest of it. */
  readonly objects: readonly ManifestObject[] | null;
  readonly manifestSha256: string | null;
  /** Whether a hold counts whose file should lie there. */
  readonly hold: boolean;
}

/** A page of the copies that the catalog has in a destination: those after the backup `after`, by id. */
export async function copiesIn(
  catalog: Queries,
  destination: string,
  { after, limit }: { readonly after: string; readonly limit: number },
): Promise<KnownCopy[]> {
  return await catalog.query<KnownCopy>(
    `SELECT c.backup_id AS "backupId", b.environment, b.state AS "backupState", c.state, c.updated_at::text AS version,
       m.document->'objects' AS objects, m.sha256 AS "manifestSha256", ${HELD} AS hold
     FROM cofre.copies c JOIN cofre.backups b ON b.id = c.backup_id LEFT JOIN cofre.manifests m ON m.backup_id = b.id
     WHERE c.destination = $1 AND c.backup_id > $2 ORDER BY c.backup_id LIMIT $3`,
    [destination, after, limit],
  );
}

/** The newest backup that is counted as verified in a destination, and how many are; undefined where there is none. */
export async function newestCopy(
  catalog: Queries,
  destination: string,
): Promise<{ backupId: string; environment: string; count: number } | undefined> {
  const [row] = await catalog.query<{ backupId: string; environment: string; count: number }>(
    `SELECT c.backup_id AS "backupId", b.environment, count(*) OVER () AS count
     FROM cofre.copies c JOIN cofre.backups b ON b.id = c.backup_id
     WHERE c.destination = $1 AND c.state = 'verified' AND b.state IN ('complete', 'incomplete') ORDER BY c.backup_id DESC LIMIT 1`,
    [destination],
  );
  return row;
}

/**
 * Records what somebody has found who looked at a copy. Gives false where anything has happened to it since it was read:
 * then what was seen is old, and nothing is changed.
 */
export async function markCopy(
  catalog: Catalog,
  copy: Pick<KnownCopy, 'backupId' | 'version'> & { readonly destination: string },
  state: 'missing' | 'suspect' | 'uploaded',
  error: FailureNote | null,
): Promise<boolean> {
  return await catalog.transaction(async (transaction) => {
    const backup = await lockBackup(transaction, copy.backupId);
    if (backup.state !== 'complete' && backup.state !== 'incomplete') return false;
    const marked = await transaction.query(
      `UPDATE cofre.copies SET state = $4, error_code = $5, error_message = $6, error_hint = $7, updated_at = clock_timestamp()
       WHERE backup_id = $1 AND destination = $2 AND updated_at::text = $3 RETURNING backup_id`,
      [
        copy.backupId,
        copy.destination,
        copy.version,
        state,
        error?.code ?? null,
        error?.message ?? null,
        error?.hint ?? null,
      ],
    );
    return marked.length > 0;
  });
}

/**
 * Takes away a copy that was found damaged, so that a whole one can take its place: `remove` does it, while nothing else can
 * change what the catalog has of this backup. Nothing is removed where no other copy is verified (`last`: however damaged, it may be
 * all that there is of a backup), or where the copy is not `suspect` any more (`changed`).
 */
export async function replaceSuspect(
  catalog: Catalog,
  { backupId, destination }: { readonly backupId: string; readonly destination: string },
  remove: () => Promise<void>,
): Promise<'removed' | 'last' | 'changed'> {
  return await catalog.transaction(async (transaction) => {
    await lockBackup(transaction, backupId);
    const [found] = await transaction.query<{ suspect: boolean; others: number }>(
      `SELECT count(*) FILTER (WHERE destination = $2 AND state = 'suspect') > 0 AS suspect,
         count(*) FILTER (WHERE destination <> $2 AND state = 'verified') AS others
       FROM cofre.copies WHERE backup_id = $1`,
      [backupId, destination],
    );
    if (found?.suspect !== true) return 'changed';
    if (found.others === 0) return 'last';
    await remove();
    await transaction.query(
      `UPDATE cofre.copies SET state = 'missing', updated_at = clock_timestamp() WHERE backup_id = $1 AND destination = $2`,
      [backupId, destination],
    );
    return 'removed';
  });
}

/** How the copy of a backup in a destination stands; undefined where there is none. */
export async function copyState(
  catalog: Queries,
  { backupId, destination }: { readonly backupId: string; readonly destination: string },
): Promise<CopyState | undefined> {
  const [row] = await catalog.query<{ state: CopyState }>(
    'SELECT state FROM cofre.copies WHERE backup_id = $1 AND destination = $2',
    [backupId, destination],
  );
  return row?.state;
}
