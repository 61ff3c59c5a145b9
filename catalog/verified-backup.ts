import { getBackup, type BackupDetail } from './backup-list.ts';
import type { BackupState } from './backup-states.ts';
import type { Catalog } from './open.ts';

/** What picks a restore's backup: of the database, closed, and with a copy that was read back. */
const VERIFIED = `b.environment = $1 AND b.kind = 'database' AND b.state IN ('complete', 'incomplete')
  AND EXISTS (SELECT 1 FROM cofre.copies c WHERE c.backup_id = b.id AND c.state = 'verified')`;

const PASSED_OVER_SHOWN = 20;

export interface PassedOver {
  readonly backupId: string;
  readonly why: string;
}

/**
 * The environment's newest backup with at least one verified copy, anomalous ones not left out; `before` (ISO 8601)
 * asks for data taken before that time. Says which newer backups (at most 20) were passed over, and why.
 */
export async function latestVerifiedBackup(
  catalog: Catalog,
  environment: string,
  { before }: { before?: string | undefined } = {},
): Promise<{ backup: BackupDetail | undefined; passedOver: PassedOver[] }> {
  const [found] = await catalog.query<{ id: string }>(
    `SELECT b.id FROM cofre.backups b LEFT JOIN cofre.manifests m ON m.backup_id = b.id
     WHERE ${VERIFIED} AND ($2::timestamptz IS NULL OR coalesce(m.snapshot_at, b.started_at) < $2)
     ORDER BY b.id DESC LIMIT 1`,
    [environment, before ?? null],
  );
  const newer = await catalog.query<{ id: string; state: BackupState; error_message: string | null }>(
    `SELECT b.id, b.state, b.error_message FROM cofre.backups b LEFT JOIN cofre.manifests m ON m.backup_id = b.id
     WHERE b.environment = $1 AND b.kind = 'database' AND b.id > $2
       AND ($3::timestamptz IS NULL OR coalesce(m.snapshot_at, b.started_at) < $3)
     ORDER BY b.id DESC LIMIT ${PASSED_OVER_SHOWN}`,
    [environment, found?.id ?? '', before ?? null],
  );
  return {
    backup: found === undefined ? undefined : await getBackup(catalog, found.id),
    passedOver: newer.map(({ id, state, error_message }) => ({ backupId: id, why: whyNot(state, error_message) })),
  };
}

/** Sizes of the newest verified backup, to plan room for the next; null if there is none. */
export async function lastSizes(
  catalog: Catalog,
  environment: string,
): Promise<{ rawBytes: number; sizeBytes: number } | null> {
  const [row] = await catalog.query<{ rawBytes: number; sizeBytes: number }>(
    `SELECT b.raw_bytes AS "rawBytes",
       (SELECT max(c.size_bytes) FROM cofre.copies c WHERE c.backup_id = b.id AND c.state = 'verified') AS "sizeBytes"
     FROM cofre.backups b WHERE ${VERIFIED} AND b.raw_bytes IS NOT NULL ORDER BY b.id DESC LIMIT 1`,
    [environment],
  );
  return row ?? null;
}

function whyNot(state: BackupState, error: string | null): string {
  switch (state) {
    case 'running':
      return 'still running';
    case 'failed':
      return error === null ? 'failed' : `failed: ${error}`;
    case 'complete':
    case 'incomplete':
      return 'no copy of it is verified any more';
    case 'deleting':
    case 'deleted':
      return state;
  }
}
