import {
  CancellationScope,
  ParentClosePolicy,
  isCancellation,
  startChild,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';

import type { RestorePlan } from '../activities/plans.ts';
import type { FetchReport, LoadReport, RestoreCheck } from '../activities/reports.ts';
import { durationMs } from '../config/duration.ts';
import { dropOldDatabase } from './drop-old-database.ts';
import { failRun, reasonOf } from './failure.ts';
import type { RestoreInput } from './inputs.ts';
import { alone } from './lock.ts';
import { onHost } from './on-host.ts';
import { beforeAll } from './opening.ts';
import { showPhase } from './phase.ts';
import { describeRestore, type RestoreProgress } from './restore-text.ts';
import { searchAttributes } from './search-attributes.ts';
import { control, heavy, light } from './steps.ts';
import { waitingForRoom } from './waits.ts';

export interface RestoreResult {
  readonly restoreId: string;
  readonly environment: string;
  readonly state: 'restored' | 'created';
  readonly backupId: string | null;
  /** When the restored data were taken; null for a dump of another job, which does not say. */
  readonly dataFrom: string | null;
  readonly rows: number;
  readonly tookMs: number;
  /** The replaced database, closed and under another name; it is removed after `keptFor` (`24h`). */
  readonly oldDatabase: { readonly name: string; readonly keptFor: string } | null;
  readonly warnings: readonly string[];
}

/** Who asked, for the catalog; the plan has everything else. */
export type RestoreOrder = Pick<RestoreInput, 'reason' | 'ticket' | 'requestedBy'>;

export interface RestoreInto {
  readonly plan: RestorePlan;
  readonly host: string;
  readonly checked: RestoreCheck;
  readonly order: RestoreOrder;
}

/**
 * Restores into the environment of the plan on the host that was checked: fetch, then, alone on the environment, load
 * under a temporary name, compare, and only then swap names. Until the swap the live database is untouched.
 * Told to `leave` a database that exists by then, it gives null and everything stays as it is.
 */
export async function restoreInto(target: RestoreInto & { readonly whenExists: 'replace' }): Promise<RestoreResult>;
export async function restoreInto(
  target: RestoreInto & { readonly whenExists: 'leave' },
): Promise<RestoreResult | null>;
export async function restoreInto({
  plan,
  host,
  checked,
  order,
  whenExists,
}: RestoreInto & { readonly whenExists: 'replace' | 'leave' }): Promise<RestoreResult | null> {
  const startedAt = Date.now();
  const progress: RestoreProgress = { plan, host, checked, waits: new Map(), step: 'fetch' };
  const { workflowId, firstExecutionRunId: runId } = workflowInfo();
  const request = {
    ...order,
    restoreId: plan.restoreId,
    to: plan.environment.id,
    workflowId,
    runId,
    startedAt: new Date(startedAt).toISOString(),
  };
  await beforeAll(`Restore into ${plan.environment.id}`, () => control.enterRestore({ plan, request }));
  upsertSearchAttributes([
    { key: searchAttributes.stage, value: plan.environment.stage },
    { key: searchAttributes.host, value: host },
    ...(plan.source.type === 'backup' ? [{ key: searchAttributes.backupId, value: plan.source.backupId }] : []),
  ]);
  try {
    return await onHost(host, () => restoreOnHost(plan, progress, startedAt, whenExists === 'leave'));
  } catch (error) {
    throw await giveUp(plan, progress, error);
  }
}

async function restoreOnHost(
  plan: RestorePlan,
  progress: RestoreProgress,
  startedAt: number,
  onlyIfMissing: boolean,
): Promise<RestoreResult | null> {
  const { host } = progress;
  const endsAt = new Date(plan.endsAt);
  const { id } = plan.environment;

  // Not alone yet: fetching touches nothing of the environment, and waiting for room may take hours.
  show(progress, 'fetch');
  const { waits } = progress;
  const wait = { endsAt, what: `room for the restore of ${id}`, waits, show: () => show(progress, 'fetch') };
  const fetched = await waitingForRoom(wait, () => heavy(host, endsAt, `fetch for ${id}`).fetchBackup({ plan }));
  progress.fetched = fetched;

  const replaced = await alone(id, endsAt, () => replaceDatabase(plan, progress, fetched, onlyIfMissing));
  if (replaced === null) return await leaveAsItIs(plan, progress);
  const { loaded, oldDatabase } = replaced;

  show(progress, 'cleaning');
  await light(host, endsAt, `clean up after the restore of ${id}`).cleanRestore({ plan, discard: false });
  if (oldDatabase !== null) progress.removal = await keepForAWhile(plan, host, oldDatabase);
  const result: RestoreResult = {
    restoreId: plan.restoreId,
    environment: id,
    state: plan.source.type === 'empty' ? 'created' : 'restored',
    backupId: plan.source.type === 'backup' ? plan.source.backupId : null,
    dataFrom: plan.source.type === 'backup' ? plan.source.snapshotAt : null,
    rows: loaded.rows,
    tookMs: Date.now() - startedAt,
    oldDatabase: oldDatabase === null ? null : { name: oldDatabase.name, keptFor: plan.keepOldDatabaseFor },
    warnings: [...new Set([...progress.checked.warnings, ...loaded.warnings])],
  };
  await control.finishRestore({
    restoreId: plan.restoreId,
    end: {
      state: 'restored',
      host,
      report: result,
      newOid: loaded.oid,
      ...(oldDatabase === null ? {} : { oldDatabase: oldDatabase.name, oldOid: oldDatabase.oid }),
    },
  });
  progress.result = result;
  show(progress, 'done');
  return result;
}

/** The part that is alone on the environment; null when there is nothing to do any more. */
async function replaceDatabase(
  plan: RestorePlan,
  progress: RestoreProgress,
  { attempt }: FetchReport,
  onlyIfMissing: boolean,
): Promise<{ loaded: LoadReport; oldDatabase: { name: string; oid: number } | null } | null> {
  const { host } = progress;
  const endsAt = new Date(plan.endsAt);
  const { id } = plan.environment;
  // While this run waited for its turn another one may have made or replaced the database.
  const { liveOid } = await light(host, endsAt, `look at ${id} again`).checkRestore({ plan, fetched: true });
  if (onlyIfMissing && liveOid !== null) return null;

  show(progress, 'load');
  const loaded = await heavy(host, endsAt, `load ${id} under a temporary name, compare`).loadDatabase({
    plan,
    attempt,
  });
  progress.loaded = loaded;

  show(progress, 'swap');
  const { oldDatabase } = await light(host, endsAt, `swap ${id}`).swapDatabase({ plan, loaded, liveOid });
  return { loaded, oldDatabase };
}

async function leaveAsItIs(plan: RestorePlan, progress: RestoreProgress): Promise<null> {
  const endsAt = new Date(plan.endsAt);
  await light(progress.host, endsAt, 'remove what was fetched').cleanRestore({ plan, discard: false });
  const error = { code: 'refused', message: 'the database exists by now: another run or a person made it' };
  await control.finishRestore({ restoreId: plan.restoreId, end: { state: 'refused', host: progress.host, error } });
  return null;
}

/** The replaced database outlives this run; a run of its own, with a timer that the UI shows, removes it later. */
async function keepForAWhile(
  plan: RestorePlan,
  host: string,
  { name, oid }: { name: string; oid: number },
): Promise<{ workflowId: string; at: string }> {
  const { keepOldDatabaseFor: keepFor, environment, restoreId } = plan;
  const workflowId = `dropOldDatabase/${environment.id}/${restoreId}`;
  await startChild(dropOldDatabase, {
    workflowId,
    args: [{ environment: environment.id, host, database: name, oid, keepFor, plan }],
    parentClosePolicy: ParentClosePolicy.ABANDON,
    staticSummary: `removes ${name} after ${keepFor}`,
  });
  return { workflowId, at: new Date(Date.now() + durationMs(keepFor)).toISOString() };
}

async function giveUp(plan: RestorePlan, progress: RestoreProgress, error: unknown): Promise<unknown> {
  return await CancellationScope.nonCancellable(async () => {
    const reason = reasonOf(error);
    progress.reason = reason;
    const soon = new Date(Date.now() + 10 * 60_000);
    if (reason.code !== 'host-unavailable') {
      await onHost(progress.host, () =>
        light(progress.host, soon, 'remove what the restore began').cleanRestore({ plan, discard: true }),
      ).catch(() => undefined);
    }
    await control.finishRestore({
      restoreId: plan.restoreId,
      end: { state: isCancellation(error) ? 'cancelled' : 'failed', host: progress.host, error: reason },
    });
    show(progress, 'failed');
    return isCancellation(error) ? error : failRun(reason, { restoreId: plan.restoreId });
  });
}

function show(progress: RestoreProgress, step: RestoreProgress['step']): void {
  progress.step = step;
  const { reason, waits } = progress;
  const waiting = reason === undefined && waits.size > 0;
  const toMend = reason !== undefined && reason.code !== 'cancelled';
  showPhase(
    waiting ? 'waiting' : step,
    describeRestore(progress),
    waiting ? 'resource' : toMend ? 'operator' : 'nothing',
  );
}
