import { CofreError } from '../errors/error.ts';
import { toNote } from './backup-list.ts';
import type { FailureNote } from './errors.ts';
import type { Catalog, Queries } from './open.ts';

export type RestoreState = 'running' | RestoreOutcome;
export type RestoreOutcome = 'restored' | 'failed' | 'refused' | 'cancelled';

export interface NewRestore {
  readonly id: string;
  readonly environment: string;
  /** Whose backup it is; left out for a dump given by path. */
  readonly fromEnvironment?: string | undefined;
  readonly backupId?: string | undefined;
  readonly filePath?: string | undefined;
  readonly workflowId: string;
  readonly runId: string;
  readonly requestedBy: string;
  readonly reason?: string | undefined;
  readonly ticket?: string | undefined;
  readonly startedAt: string;
}

/** What becomes known while a restore goes on; each fact may be recorded as soon as it is. */
export interface RestoreFacts {
  readonly host?: string | undefined;
  /** Milliseconds of each phase; added to those that are recorded. */
  readonly phases?: Readonly<Record<string, number>> | undefined;
  /** The database that was replaced: the name under which it is kept, and its OID. */
  readonly oldDatabase?: string | undefined;
  readonly oldOid?: number | undefined;
  /** The server it is on, and until when it is kept: from then on somebody has to see to its end. */
  readonly oldServer?: string | undefined;
  readonly oldUntil?: string | undefined;
  readonly newOid?: number | undefined;
  /** The comparison with the manifest, and what else the evidence needs. */
  readonly report?: object | undefined;
}

export interface Restore {
  readonly id: string;
  readonly environment: string;
  readonly fromEnvironment: string | null;
  readonly backupId: string | null;
  readonly filePath: string | null;
  readonly workflowId: string;
  readonly runId: string;
  readonly host: string | null;
  readonly state: RestoreState;
  readonly phases: Readonly<Record<string, number>>;
  readonly requestedBy: string;
  readonly reason: string | null;
  readonly ticket: string | null;
  readonly oldDatabase: string | null;
  readonly oldOid: number | null;
  readonly newOid: number | null;
  readonly report: unknown;
  readonly error: FailureNote | null;
  readonly startedAt: string;
  readonly finishedAt: string | null;
}

/**
 * Writes the row of a restore that begins, and gives its state. The run that wrote it may call again.
 * @throws CofreError `refused` when another run has this id.
 */
export async function startRestore(catalog: Catalog, restore: NewRestore): Promise<RestoreState> {
  await catalog.query(
    `INSERT INTO cofre.restores
       (id, environment, from_environment, backup_id, file_path, workflow_id, run_id, state, requested_by, reason, ticket, started_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, 'running', $8, $9, $10, $11) ON CONFLICT (id) DO NOTHING`,
    [
      restore.id,
      restore.environment,
      restore.fromEnvironment ?? null,
      restore.backupId ?? null,
      restore.filePath ?? null,
      restore.workflowId,
      restore.runId,
      restore.requestedBy,
      restore.reason ?? null,
      restore.ticket ?? null,
      restore.startedAt,
    ],
  );
  const stored = await lockRestore(catalog, restore.id);
  if (stored.workflow_id !== restore.workflowId || stored.run_id !== restore.runId) {
    throw new CofreError('refused', `the restore ${restore.id} belongs to another run: ${stored.workflow_id}`);
  }
  return stored.state;
}

/**
 * Asked before a restore fetches or loads: a run that was reset after its end, or was taken for lost, has nothing to do.
 * @throws CofreError `refused` when the restore is closed.
 */
export async function requireRunningRestore(catalog: Queries, id: string): Promise<void> {
  const { state } = await lockRestore(catalog, id);
  if (state === 'running') return;
  throw new CofreError('refused', `the restore ${id} is ${state} already: nothing of it is done again`, {
    hint: 'start a new one',
  });
}

/** Adds facts to a restore that runs. @throws CofreError `refused` when it does not run any more: a late call. */
export async function recordRestore(catalog: Catalog, id: string, facts: RestoreFacts): Promise<void> {
  await catalog.transaction(async (transaction) => {
    const { state } = await lockRestore(transaction, id);
    if (state !== 'running')
      throw new CofreError('refused', `the restore ${id} is ${state}; a step came too late for it`);
    await writeFacts(transaction, id, facts);
  });
}

/**
 * Closes a restore. May be called again with the same outcome, which changes nothing.
 * @throws CofreError `refused` when it ended otherwise already.
 */
export async function finishRestore(
  catalog: Catalog,
  id: string,
  end: RestoreFacts & {
    readonly state: RestoreOutcome;
    readonly error?: FailureNote | null | undefined;
    /** The swap that was recorded as about to happen did not happen. */
    readonly nothingReplaced?: boolean;
  },
): Promise<void> {
  await catalog.transaction(async (transaction) => {
    const { state } = await lockRestore(transaction, id);
    if (state === end.state) return;
    if (state !== 'running')
      throw new CofreError('refused', `the restore ${id} is ${state} and cannot become ${end.state}`);
    await writeFacts(transaction, id, end);
    if (end.nothingReplaced === true) {
      await transaction.query(
        `UPDATE cofre.restores SET old_database = NULL, old_oid = NULL, old_server = NULL, old_until = NULL, old_fate = NULL
         WHERE id = $1`,
        [id],
      );
    }
    await transaction.query(
      `UPDATE cofre.restores SET state = $2, error_code = $3, error_message = $4, error_hint = $5, finished_at = now()
       WHERE id = $1`,
      [id, end.state, end.error?.code ?? null, end.error?.message ?? null, end.error?.hint ?? null],
    );
  });
}

/** The restores into an environment, newest first. */
export async function lastRestores(catalog: Catalog, environment: string, limit = 10): Promise<Restore[]> {
  const rows = await catalog.query<RestoreRow>(
    'SELECT * FROM cofre.restores WHERE environment = $1 ORDER BY started_at DESC, id DESC LIMIT $2',
    [environment, limit],
  );
  return rows.map(toRestore);
}

/** How many restores into the environment failed one after the other since the last that succeeded. */
export async function consecutiveFailures(catalog: Catalog, environment: string): Promise<number> {
  const [row] = await catalog.query<{ count: number }>(
    `SELECT count(*) AS count FROM cofre.restores WHERE environment = $1 AND state = 'failed' AND finished_at >
       coalesce((SELECT max(finished_at) FROM cofre.restores WHERE environment = $1 AND state = 'restored'), '-infinity')`,
    [environment],
  );
  return row?.count ?? 0;
}

interface RestoreRow {
  id: string;
  environment: string;
  from_environment: string | null;
  backup_id: string | null;
  file_path: string | null;
  workflow_id: string;
  run_id: string;
  host: string | null;
  state: RestoreState;
  phases: Record<string, number>;
  requested_by: string;
  reason: string | null;
  ticket: string | null;
  old_database: string | null;
  old_oid: number | null;
  new_oid: number | null;
  report: unknown;
  error_code: string | null;
  error_message: string | null;
  error_hint: string | null;
  started_at: Date;
  finished_at: Date | null;
}

async function writeFacts(transaction: Queries, id: string, facts: RestoreFacts): Promise<void> {
  await transaction.query(
    `UPDATE cofre.restores SET host = coalesce($2, host), phases = phases || $3::jsonb,
       old_database = coalesce($4, old_database), old_oid = coalesce($5, old_oid), new_oid = coalesce($6, new_oid),
       report = coalesce($7::jsonb, report), old_server = coalesce($8, old_server),
       old_until = coalesce($9, old_until), old_fate = CASE WHEN $9::timestamptz IS NULL THEN old_fate ELSE 'waiting' END
     WHERE id = $1`,
    [
      id,
      facts.host ?? null,
      JSON.stringify(facts.phases ?? {}),
      facts.oldDatabase ?? null,
      facts.oldOid ?? null,
      facts.newOid ?? null,
      facts.report === undefined ? null : JSON.stringify(facts.report),
      facts.oldServer ?? null,
      facts.oldUntil ?? null,
    ],
  );
}

async function lockRestore(
  queries: Queries,
  id: string,
): Promise<Pick<RestoreRow, 'state' | 'workflow_id' | 'run_id'>> {
  const [row] = await queries.query<Pick<RestoreRow, 'state' | 'workflow_id' | 'run_id'>>(
    'SELECT state, workflow_id, run_id FROM cofre.restores WHERE id = $1 FOR UPDATE',
    [id],
  );
  if (row === undefined) throw new CofreError('not-known', `the catalog has no restore ${id.slice(0, 80)}`);
  return row;
}

function toRestore(row: RestoreRow): Restore {
  return {
    id: row.id,
    environment: row.environment,
    fromEnvironment: row.from_environment,
    backupId: row.backup_id,
    filePath: row.file_path,
    workflowId: row.workflow_id,
    runId: row.run_id,
    host: row.host,
    state: row.state,
    phases: row.phases,
    requestedBy: row.requested_by,
    reason: row.reason,
    ticket: row.ticket,
    oldDatabase: row.old_database,
    oldOid: row.old_oid,
    newOid: row.new_oid,
    report: row.report,
    error: toNote(row),
    startedAt: row.started_at.toISOString(),
    finishedAt: row.finished_at?.toISOString() ?? null,
  };
}
