import { unknownBackup } from './backups.ts';
import type { BackupState, CopyState } from './backup-states.ts';
import type { FailureNote } from './errors.ts';
import { HELD } from './held.ts';
import type { Pipeline } from './manifest.ts';
import type { Catalog } from './open.ts';

/** One backup as `cofre backups --json` prints it: part of the public interface. Times are ISO 8601, UTC. */
export interface BackupSummary {
  readonly id: string;
  readonly environment: string;
  readonly kind: string;
  readonly mode: string;
  readonly setId?: string;
  readonly parentId?: string;
  readonly state: BackupState;
  /** The flags are there only when they are set. */
  readonly anomalous?: true;
  readonly held?: true;
  readonly adopted?: true;
  readonly startedAt: string;
  readonly finishedAt: string | null;
  /** Of its largest copy; null as long as none is verified. */
  readonly sizeBytes: number | null;
  readonly rawBytes: number | null;
  readonly copies: readonly CopySummary[];
  readonly lastProvenAt?: string;
}

export interface CopySummary {
  readonly destination: string;
  readonly state: CopyState;
  readonly sizeBytes: number | null;
  readonly sha256: string | null;
  readonly verifiedAt: string | null;
}

/** Everything that the catalog knows of one backup, its manifest apart. */
export interface BackupDetail extends BackupSummary {
  readonly workflowId: string;
  readonly runId: string;
  readonly routine: string | null;
  readonly configVersion: number;
  readonly pipeline: Pipeline | null;
  readonly host: string | null;
  readonly attempt: string | null;
  readonly rows: number | null;
  /** When its data were taken; null as long as there is no manifest. */
  readonly snapshotAt: string | null;
  readonly warnings: readonly string[];
  /** Who took the mark `anomalous` from it, and when; null where nobody did. */
  readonly accepted: { readonly by: string; readonly at: string } | null;
  readonly error: FailureNote | null;
  readonly copies: readonly CopyDetail[];
}

export interface CopyDetail extends CopySummary {
  readonly attempt: string | null;
  readonly manifestKey: string | null;
  readonly error: FailureNote | null;
}

const LIST_LIMIT = 1_000;

/** The newest backups first, in the public JSON shape; at most `limit` (1000 unless told). */
export async function listBackups(
  catalog: Catalog,
  { environment, limit = LIST_LIMIT }: { environment?: string | undefined; limit?: number | undefined } = {},
): Promise<BackupSummary[]> {
  const backups = await readBackups(
    catalog,
    'WHERE $1::text IS NULL OR b.environment = $1 ORDER BY b.id DESC LIMIT $2',
    [environment ?? null, limit],
  );
  return backups.map(summaryOf);
}

/** One backup with everything. @throws CofreError `not-known`. */
export async function getBackup(catalog: Catalog, id: string): Promise<BackupDetail> {
  const [backup] = await readBackups(catalog, 'WHERE b.id = $1', [id]);
  if (backup === undefined) throw unknownBackup(id);
  return backup;
}

function summaryOf(backup: BackupDetail): BackupSummary {
  const { id, environment, kind, mode, setId, parentId, state, anomalous, held, adopted, lastProvenAt } = backup;
  return {
    id,
    environment,
    kind,
    mode,
    ...(setId === undefined ? {} : { setId }),
    ...(parentId === undefined ? {} : { parentId }),
    state,
    ...flags({ anomalous, held, adopted }),
    startedAt: backup.startedAt,
    finishedAt: backup.finishedAt,
    sizeBytes: backup.sizeBytes,
    rawBytes: backup.rawBytes,
    copies: backup.copies.map(({ destination, state: copyState, sizeBytes, sha256, verifiedAt }) => ({
      destination,
      state: copyState,
      sizeBytes,
      sha256,
      verifiedAt,
    })),
    ...(lastProvenAt === undefined ? {} : { lastProvenAt }),
  };
}

interface BackupRow extends ErrorColumns {
  id: string;
  environment: string;
  kind: string;
  mode: string;
  set_id: string | null;
  parent_id: string | null;
  state: BackupState;
  anomalous: boolean;
  held: boolean;
  adopted: boolean;
  workflow_id: string;
  run_id: string;
  routine: string | null;
  config_version: number;
  pipeline: Pipeline | null;
  host: string | null;
  attempt: string | null;
  rows: number | null;
  raw_bytes: number | null;
  warnings: string[];
  accepted_by: string | null;
  accepted_at: Date | null;
  started_at: Date;
  finished_at: Date | null;
  snapshot_at: Date | null;
  last_proven_at: Date | null;
}

interface CopyRow extends ErrorColumns {
  backup_id: string;
  destination: string;
  state: CopyState;
  attempt: string | null;
  size_bytes: number | null;
  sha256: string | null;
  manifest_key: string | null;
  verified_at: Date | null;
}

interface ErrorColumns {
  error_code: string | null;
  error_message: string | null;
  error_hint: string | null;
}

/** The backups `b` that a fixed piece of SQL picks, each with its copies. */
async function readBackups(catalog: Catalog, which: string, values: readonly unknown[]): Promise<BackupDetail[]> {
  const rows = await catalog.query<BackupRow>(
    `SELECT b.*, m.snapshot_at, ${HELD} AS held FROM cofre.backups b LEFT JOIN cofre.manifests m ON m.backup_id = b.id ${which}`,
    values,
  );
  const copyRows = await catalog.query<CopyRow>(
    'SELECT * FROM cofre.copies WHERE backup_id = ANY($1::text[]) ORDER BY destination',
    [rows.map(({ id }) => id)],
  );
  const copies = new Map<string, CopyDetail[]>(rows.map(({ id }) => [id, []]));
  for (const row of copyRows) copies.get(row.backup_id)?.push(toCopy(row));
  return rows.map((row) => toBackup(row, copies.get(row.id) ?? []));
}

function toBackup(row: BackupRow, copies: readonly CopyDetail[]): BackupDetail {
  const sizes = copies.flatMap(({ sizeBytes }) => (sizeBytes === null ? [] : [sizeBytes]));
  return {
    id: row.id,
    environment: row.environment,
    kind: row.kind,
    mode: row.mode,
    ...(row.set_id === null ? {} : { setId: row.set_id }),
    ...(row.parent_id === null ? {} : { parentId: row.parent_id }),
    state: row.state,
    ...flags(row),
    startedAt: row.started_at.toISOString(),
    finishedAt: row.finished_at?.toISOString() ?? null,
    sizeBytes: sizes.length === 0 ? null : Math.max(...sizes),
    rawBytes: row.raw_bytes,
    copies,
    ...(row.last_proven_at === null ? {} : { lastProvenAt: row.last_proven_at.toISOString() }),
    workflowId: row.workflow_id,
    runId: row.run_id,
    routine: row.routine,
    configVersion: row.config_version,
    pipeline: row.pipeline,
    host: row.host,
    attempt: row.attempt,
    rows: row.rows,
    snapshotAt: row.snapshot_at?.toISOString() ?? null,
    warnings: row.warnings,
    accepted:
      row.accepted_by === null || row.accepted_at === null
        ? null
        : { by: row.accepted_by, at: row.accepted_at.toISOString() },
    error: toNote(row),
  };
}

function toCopy(row: CopyRow): CopyDetail {
  return {
    destination: row.destination,
    state: row.state,
    sizeBytes: row.size_bytes,
    sha256: row.sha256,
    verifiedAt: row.verified_at?.toISOString() ?? null,
    attempt: row.attempt,
    manifestKey: row.manifest_key,
    error: toNote(row),
  };
}

function flags(from: { anomalous?: boolean | undefined; held?: boolean | undefined; adopted?: boolean | undefined }): {
  anomalous?: true;
  held?: true;
  adopted?: true;
} {
  return {
    ...(from.anomalous === true ? { anomalous: true } : {}),
    ...(from.held === true ? { held: true } : {}),
    ...(from.adopted === true ? { adopted: true } : {}),
  };
}

/** The failure that a row's three columns record. */
export function toNote(row: ErrorColumns): FailureNote | null {
  if (row.error_code === null) return null;
  return {
    code: row.error_code,
    message: row.error_message ?? '',
    ...(row.error_hint === null ? {} : { hint: row.error_hint }),
  };
}
