import { createHash } from 'node:crypto';

import { CofreError } from '../errors/error.ts';
import { findAnomalies, type SizedBackup } from './anomaly.ts';
import { lockBackup } from './backups.ts';
import type { BackupState } from './backup-states.ts';
import { noteUnconfirmed } from './hold-confirmations.ts';
import type { Manifest } from './manifest.ts';
import type { Catalog, Queries } from './open.ts';
import { manifestBytes } from './parse-manifest.ts';

/** Where a manifest was found that the catalog does not have, and by which run. */
export interface Finding {
  readonly manifest: Manifest;
  readonly destination: string;
  readonly workflowId: string;
  readonly runId: string;
}

/** How much of it was new: the whole backup, a copy of one that is known, or nothing (it is under way, or was deleted). */
export type Imported = 'backup' | 'copy' | 'nothing';

/**
 * Enters a backup from the manifest that was found in a destination. Its copy there is `uploaded`, not `verified`: that a
 * manifest is written last proves something of a copy that Cofre made, and nothing of one that somebody has put there. Until a copy is
 * verified the backup is `incomplete`. One that the catalog holds for failed, because it knows only a part of its story, is taken
 * up again: what stands in the destination decides.
 * @throws CofreError `refused` when the catalog has this backup of another environment or with another manifest.
 */
export async function importBackup(catalog: Catalog, finding: Finding): Promise<Imported> {
  const { manifest, destination } = finding;
  const { backupId, attempt, environment } = manifest;
  const bytes = manifestBytes(manifest);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  return await catalog.transaction(async (transaction) => {
    const isNew = await insertBackup(transaction, finding);
    const known = await lockBackup(transaction, backupId);
    if (known.environment !== environment.id)
      throw new CofreError('refused', `the catalog has ${backupId} as a backup of ${known.environment}`);
    const [stored] = await transaction.query<{ sha256: string }>(
      'SELECT sha256 FROM cofre.manifests WHERE backup_id = $1',
      [backupId],
    );
    if (stored !== undefined && stored.sha256 !== sha256)
      throw new CofreError('refused', `the catalog has another manifest of ${backupId}`);
    if (UNTOUCHED.has(known.state)) return 'nothing';
    if (known.state === 'failed') await takeUpAgain(transaction, manifest);
    await transaction.query(
      `INSERT INTO cofre.manifests (backup_id, sha256, snapshot_at, document) VALUES ($1, $2, $3, $4::jsonb)
       ON CONFLICT (backup_id) DO NOTHING`,
      [backupId, sha256, manifest.snapshotAt, bytes.toString('utf8')],
    );
    // Of a failed backup there may be a row of a copy that it could not make.
    const entered = await transaction.query(
      `INSERT INTO cofre.copies AS c (backup_id, destination, state, attempt) VALUES ($1, $2, 'uploaded', $3)
       ON CONFLICT (backup_id, destination) DO UPDATE SET state = 'uploaded', attempt = excluded.attempt, error_code = NULL,
         error_message = NULL, error_hint = NULL, updated_at = clock_timestamp() WHERE c.state IN ('missing', 'uploading') RETURNING backup_id`,
      [backupId, destination, attempt],
    );
    // What the catalog has forgotten of it may be a hold, too.
    if (isNew) await noteUnconfirmed(transaction, `${backupId} was taken in from ${destination}`);
    if (isNew || known.state === 'failed') return 'backup';
    return entered.length > 0 ? 'copy' : 'nothing';
  });
}

/** Their runs or somebody's decision tell what becomes of what lies there. */
const UNTOUCHED: ReadonlySet<BackupState> = new Set(['running', 'deleting', 'deleted']);

async function insertBackup(transaction: Queries, finding: Finding): Promise<boolean> {
  const { manifest, destination, workflowId, runId } = finding;
  const inserted = await transaction.query(
    `INSERT INTO cofre.backups (id, environment, kind, mode, state, workflow_id, run_id, config_version, pipeline, host, attempt,
       raw_bytes, rows, warnings, started_at, finished_at, adopted)
     VALUES ($1, $2, $3, $4, 'incomplete', $5, $6, $7, $8, $9, $10, $11, $12, $13::jsonb, $14, $15, $8 = 'adopted') ON CONFLICT (id) DO NOTHING
     RETURNING id`,
    [
      manifest.backupId,
      manifest.environment.id,
      manifest.kind,
      manifest.mode,
      workflowId,
      runId,
      manifest.configVersion,
      manifest.pipeline,
      manifest.host,
      manifest.attempt,
      manifest.content.rawBytes,
      manifest.content.rows,
      JSON.stringify([`imported from ${destination}: the catalog did not know it`]),
      manifest.startedAt,
      manifest.finishedAt,
    ],
  );
  return inserted.length > 0;
}

async function takeUpAgain(transaction: Queries, { backupId, attempt, host, content }: Manifest): Promise<void> {
  await transaction.query(
    `UPDATE cofre.backups SET state = 'incomplete', attempt = $2, host = $3, rows = $4, raw_bytes = $5, error_code = NULL,
       error_message = NULL, error_hint = NULL WHERE id = $1`,
    [backupId, attempt, host, content.rows, content.rawBytes],
  );
}

/**
 * Marks those of these imported backups that are anomalous, as they were before their rows were lost: else the backup of an
 * emptied database would be the newest good one. What somebody accepted is forgotten with the rows, and has to be accepted again.
 */
export async function flagImported(
  catalog: Catalog,
  environment: string,
  imported: ReadonlySet<string>,
): Promise<void> {
  const rows = await catalog.query<SizedBackup>(
    `SELECT id, rows, raw_bytes AS "rawBytes", anomalous FROM cofre.backups
     WHERE environment = $1 AND state IN ('complete', 'incomplete') AND rows IS NOT NULL AND raw_bytes IS NOT NULL ORDER BY id`,
    [environment],
  );
  for (const [id, anomaly] of findAnomalies(rows, (id) => imported.has(id)))
    await catalog.query(
      `UPDATE cofre.backups SET anomalous = true, warnings = jsonb_build_array($2::text) || warnings WHERE id = $1 AND NOT anomalous`,
      [id, `anomalous: ${anomaly}`],
    );
}
