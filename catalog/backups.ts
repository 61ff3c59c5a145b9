import { CofreError } from '../errors/error.ts';
import { findAnomaly } from './anomaly.ts';
import {
  requireBackupChange,
  copyTakes,
  type BackupOutcome,
  type BackupState,
  type CopyState,
} from './backup-states.ts';
import type { FailureNote } from './errors.ts';
import type { Origin } from './manifest.ts';
import type { Catalog, Queries } from './open.ts';

export interface NewBackup {
  readonly id: string;
  readonly environment: string;
  readonly kind: 'environment' | 'database' | 'files' | 'keys';
  readonly mode: 'full' | 'incremental' | 'differential';
  readonly pipeline: Origin;
  readonly workflowId: string;
  readonly runId: string;
  readonly routine?: string | undefined;
  readonly configVersion: number;
  readonly startedAt: string;
}

/**
 * Writes the row of a backup that begins, and gives its state. The run that wrote it may call again.
 * @throws CofreError `refused` when another run has this id.
 */
export async function startBackup(catalog: Catalog, backup: NewBackup): Promise<BackupState> {
  await catalog.query(
    `INSERT INTO cofre.backups
       (id, environment, kind, mode, pipeline, adopted, state, workflow_id, run_id, routine, config_version, started_at)
     VALUES ($1, $2, $3, $4, $5, $5 = 'adopted', 'running', $6, $7, $8, $9, $10) ON CONFLICT (id) DO NOTHING`,
    [
      backup.id,
      backup.environment,
      backup.kind,
      backup.mode,
      backup.pipeline,
      backup.workflowId,
      backup.runId,
      backup.routine ?? null,
      backup.configVersion,
      backup.startedAt,
    ],
  );
  const [row] = await catalog.query<{ state: BackupState; workflow_id: string; run_id: string }>(
    'SELECT state, workflow_id, run_id FROM cofre.backups WHERE id = $1',
    [backup.id],
  );
  if (row === undefined) throw unknownBackup(backup.id);
  if (row.workflow_id !== backup.workflowId || row.run_id !== backup.runId) {
    throw new CofreError('refused', `the backup ${backup.id} belongs to another run: ${row.workflow_id}`);
  }
  return row.state;
}

/**
 * Records what a finished dump holds, and gives in words what is anomalous about it; null if nothing is. A later dump of
 * the same backup replaces it, as long as no copy was verified.
 * @throws CofreError `refused` when the backup does not run any more, or a copy of another dump is verified.
 */
export async function recordDump(
  catalog: Catalog,
  dump: {
    readonly backupId: string;
    readonly attempt: string;
    readonly host: string;
    readonly rows: number;
    readonly rawBytes: number;
    readonly warnings: readonly string[];
  },
): Promise<string | null> {
  return await catalog.transaction(async (transaction) => {
    const { environment, state, attempt } = await lockBackup(transaction, dump.backupId);
    if (state !== 'running')
      throw new CofreError('refused', `the backup ${dump.backupId} is ${state}; a dump came too late for it`);
    if (attempt !== dump.attempt && (await verifiedCopies(transaction, dump.backupId, dump.attempt)) > 0) {
      throw new CofreError(
        'refused',
        `a copy of another dump of ${dump.backupId} is verified; the dump ${dump.attempt} came too late`,
      );
    }
    const anomaly = await findAnomaly(transaction, { ...dump, id: dump.backupId, environment });
    const warnings = anomaly === null ? dump.warnings : [`anomalous: ${anomaly}`, ...dump.warnings];
    await transaction.query(
      `UPDATE cofre.backups SET attempt = $2, host = $3, rows = $4, raw_bytes = $5, warnings = $6::jsonb, anomalous = $7
       WHERE id = $1`,
      [dump.backupId, dump.attempt, dump.host, dump.rows, dump.rawBytes, JSON.stringify(warnings), anomaly !== null],
    );
    return anomaly;
  });
}

/**
 * Takes the mark `anomalous` from a backup, by somebody's word: it is as it should be, and what comes is compared with it.
 * Gives false where it has no mark. @throws CofreError `not-known`.
 */
export async function acceptBackup(catalog: Catalog, id: string, by: string): Promise<boolean> {
  const [row] = await catalog.query<{ known: boolean; accepted: boolean }>(
    `WITH accepted AS (
       UPDATE cofre.backups SET anomalous = false, accepted_by = $2, accepted_at = now() WHERE id = $1 AND anomalous RETURNING id
     ) SELECT EXISTS (SELECT FROM cofre.backups WHERE id = $1) AS known, EXISTS (SELECT FROM accepted) AS accepted`,
    [id, by],
  );
  if (row?.known !== true) throw unknownBackup(id);
  return row.accepted;
}

/**
 * Asked before a dump is made: a run that was reset after its end, or was taken for lost, has nothing to do any more.
 * @throws CofreError `refused` when the backup is closed.
 */
export async function requireRunningBackup(catalog: Queries, backupId: string): Promise<void> {
  const state = (await backupStates(catalog, [backupId])).get(backupId);
  if (state === undefined) throw unknownBackup(backupId);
  if (state === 'running') return;
  throw new CofreError('refused', `the backup ${backupId} is ${state} already: nothing of it is made again`, {
    hint: 'start a new one',
  });
}

/**
 * Asked before a dump is sent or published: one that was replaced while its host was lost or frozen must stop.
 * @throws CofreError `refused` when another dump took its place, or the backup is closed without it.
 */
export async function requireCurrentDump(catalog: Catalog, backupId: string, attempt: string): Promise<void> {
  const [row] = await catalog.query<{ state: BackupState; attempt: string | null }>(
    'SELECT state, attempt FROM cofre.backups WHERE id = $1',
    [backupId],
  );
  if (row === undefined) throw unknownBackup(backupId);
  const open = mayHaveCopies(row.state);
  if (open && row.attempt === attempt) return;
  const why = open ? `the dump ${row.attempt} took its place` : `the backup is ${row.state}`;
  throw new CofreError('refused', `the dump ${attempt} of ${backupId} comes too late: ${why}`);
}

/** What was under way of a run that has ended will never be there: a debt, where another copy is. */
export async function closeCopies(transaction: Queries, backupId: string, error: FailureNote): Promise<void> {
  await transaction.query(
    `UPDATE cofre.copies SET state = 'missing', error_code = $2, error_message = $3, error_hint = $4, updated_at = now()
     WHERE backup_id = $1 AND state IN ('uploading', 'uploaded')`,
    [backupId, error.code, error.message, error.hint ?? null],
  );
}

/**
 * Closes a backup and gives the state that stands. May be called again with the same outcome. What failed after a copy was
 * verified is `incomplete`: there is something to restore. With it end the copies that are under way.
 * @throws CofreError `refused` for a change that no backup makes (late calls), or a success without a verified copy.
 */
export async function finishBackup(
  catalog: Catalog,
  end: { readonly backupId: string; readonly state: BackupOutcome; readonly error?: FailureNote | null | undefined },
): Promise<BackupState> {
  return await catalog.transaction(async (transaction) => {
    const { state: from } = await lockBackup(transaction, end.backupId);
    const verified = await verifiedCopies(transaction, end.backupId);
    if (verified === 0 && end.state !== 'failed') {
      throw new CofreError('refused', `the backup ${end.backupId} has no verified copy and cannot be ${end.state}`);
    }
    const to = verified > 0 && end.state === 'failed' ? 'incomplete' : end.state;
    if (from === to) return from;
    requireBackupChange(end.backupId, from, to);
    if (end.error != null) await closeCopies(transaction, end.backupId, end.error);
    await transaction.query(
      `UPDATE cofre.backups SET state = $2, error_code = $3, error_message = $4, error_hint = $5,
         finished_at = coalesce(finished_at, now()) WHERE id = $1`,
      [end.backupId, to, end.error?.code ?? null, end.error?.message ?? null, end.error?.hint ?? null],
    );
    return to;
  });
}

/**
 * Closes a debt: a backup that is `incomplete` and has by now as many verified copies as make it complete becomes `complete`.
 */
export async function settleDebt(catalog: Catalog, backupId: string, complete: number): Promise<void> {
  await catalog.transaction(async (transaction) => {
    const { state } = await lockBackup(transaction, backupId);
    if (state !== 'incomplete' || (await verifiedCopies(transaction, backupId)) < complete) return;
    await transaction.query(
      `UPDATE cofre.backups SET state = 'complete', error_code = NULL, error_message = NULL, error_hint = NULL WHERE id = $1`,
      [backupId],
    );
  });
}

export type CopyRecord = {
  readonly backupId: string;
  readonly destination: string;
  /** Where it is not the usual one: a manifest that was adopted. */
  readonly manifestKey?: string | undefined;
  readonly error?: FailureNote | null | undefined;
} & (
  | {
      readonly state: 'verified';
      /** The dump whose object it is. */
      readonly attempt: string;
      /** Of the object as it was read back. */
      readonly sizeBytes: number;
      readonly sha256: string;
      /** Now, unless told. */
      readonly verifiedAt?: string | undefined;
    }
  | {
      readonly state: Exclude<CopyState, 'verified'>;
      /** Left out where the caller does not know: what stands is kept. */
      readonly attempt?: string | undefined;
    }
);

/**
 * Records a step of a copy and gives the state that stands. A step that comes late, such as `uploading` after `verified`,
 * changes nothing; what it asks for stands already or is overtaken.
 * @throws CofreError `refused` when `verified` is claimed for a copy that is being deleted, or proven from another dump, or
 * of a backup that has failed.
 */
export async function recordCopy(catalog: Catalog, copy: CopyRecord): Promise<CopyState> {
  return await catalog.transaction(async (transaction) => {
    // The backup's row is the lock of its copies: one that does not exist yet cannot be locked itself.
    const { state: backup } = await lockBackup(transaction, copy.backupId);
    if (copy.state === 'verified' && !mayHaveCopies(backup))
      throw new CofreError('refused', `the backup ${copy.backupId} is ${backup}; a copy came too late for it`);
    const [stands] = await transaction.query<{ state: CopyState; attempt: string | null }>(
      'SELECT state, attempt FROM cofre.copies WHERE backup_id = $1 AND destination = $2',
      [copy.backupId, copy.destination],
    );
    if (!copyTakes(stands, { state: copy.state, attempt: copy.attempt ?? null })) {
      if (copy.state === 'verified') {
        throw new CofreError(
          'refused',
          `the copy of ${copy.backupId} in ${copy.destination} is ${stands?.state}, from the dump ${stands?.attempt}`,
        );
      }
      return stands?.state ?? copy.state;
    }
    const proof = copy.state === 'verified' ? copy : undefined;
    await transaction.query(
      `INSERT INTO cofre.copies AS c (backup_id, destination, state, attempt, size_bytes, sha256, manifest_key, verified_at,
         error_code, error_message, error_hint)
       VALUES ($1, $2, $3, $4, $5, $6, $7, CASE WHEN $3 = 'verified' THEN coalesce($8::timestamptz, now()) END, $9, $10, $11)
       ON CONFLICT (backup_id, destination) DO UPDATE SET
         state = excluded.state,
         attempt = coalesce(excluded.attempt, c.attempt),
         size_bytes = coalesce(excluded.size_bytes, c.size_bytes),
         sha256 = coalesce(excluded.sha256, c.sha256),
         manifest_key = coalesce(excluded.manifest_key, c.manifest_key),
         verified_at = coalesce(excluded.verified_at, c.verified_at),
         error_code = excluded.error_code,
         error_message = excluded.error_message,
         error_hint = excluded.error_hint,
         updated_at = now()`,
      [
        copy.backupId,
        copy.destination,
        copy.state,
        copy.attempt ?? null,
        proof?.sizeBytes ?? null,
        proof?.sha256 ?? null,
        copy.manifestKey ?? null,
        proof?.verifiedAt ?? null,
        copy.error?.code ?? null,
        copy.error?.message ?? null,
        copy.error?.hint ?? null,
      ],
    );
    return copy.state;
  });
}

/** The states of those of these backups that the catalog knows. */
export async function backupStates(catalog: Queries, ids: readonly string[]): Promise<Map<string, BackupState>> {
  const rows = await catalog.query<{ id: string; state: BackupState }>(
    'SELECT id, state FROM cofre.backups WHERE id = ANY($1::text[])',
    [[...ids]],
  );
  return new Map(rows.map(({ id, state }) => [id, state]));
}

/** What is said of a backup that the catalog does not have. */
export function unknownBackup(id: string): CofreError {
  return new CofreError('not-known', `the catalog has no backup ${id.slice(0, 80)}`, {
    hint: '`cofre backups` lists them',
  });
}

function mayHaveCopies(state: BackupState): boolean {
  return state === 'running' || state === 'incomplete' || state === 'complete';
}

interface LockedBackup {
  readonly environment: string;
  readonly state: BackupState;
  readonly attempt: string | null;
}

/**
 * Holds a backup's row, which is the lock of its copies too, until the transaction ends; with `SHARE` others may share it, and nobody
 * may change it. @throws CofreError `not-known`.
 */
export async function lockBackup(
  transaction: Queries,
  id: string,
  strength: 'UPDATE' | 'SHARE' = 'UPDATE',
): Promise<LockedBackup> {
  const [row] = await transaction.query<LockedBackup>(
    `SELECT environment, state, attempt FROM cofre.backups WHERE id = $1 FOR ${strength}`,
    [id],
  );
  if (row === undefined) throw unknownBackup(id);
  return row;
}

/** How many copies are verified, of all dumps but one. */
async function verifiedCopies(transaction: Queries, id: string, except?: string): Promise<number> {
  const [row] = await transaction.query<{ count: number }>(
    `SELECT count(*) AS count FROM cofre.copies
      WHERE backup_id = $1 AND state = 'verified' AND attempt IS DISTINCT FROM $2`,
    [id, except ?? null],
  );
  return row?.count ?? 0;
}
