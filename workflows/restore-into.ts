import {
  CancellationScope,
  ParentClosePolicy,
  isCancellation,
  startChild,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';

import { removalRunId, type RestorePlan } from '../activities/plans.ts';
import type { LoadReport, RestoreCheck, SwapReport } from '../activities/reports.ts';
import { durationMs } from '../config/duration.ts';
import { dropOldDatabase } from './drop-old-database.ts';
import { CANCELLED, failRun, reasonOf, unlessClosed } from './failure.ts';
import type { RestoreInput } from './inputs.ts';
import { alone } from './lock.ts';
import { chooseHost, onAnyHost, onHost } from './on-host.ts';
import { beforeAll } from './opening.ts';
import { showPhase } from './phase.ts';
import { describeRestore, type RestoreProgress } from './restore-text.ts';
import { searchAttributes } from './search-attributes.ts';
import { control, heavy, light, probe, soon } from './steps.ts';
import { HOST_OR_ROOM, LOCKED, waitingForRoom, type Wait } from './waits.ts';

export interface RestoreResult {
  readonly restoreId: string;
  readonly environment: string;
  readonly state: 'restored' | 'created';
  readonly backupId: string | null;
  /** When the restored data were taken; null for a dump of another job, which does not say. */
  readonly dataFrom: string | null;
  readonly rows: number;
  readonly tookMs: number;
  /** Of the load, how long each part took, in order. */
  readonly phases: LoadReport['phases'];
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
  let replaced: Replaced | null;
  try {
    replaced = await replaceOnSomeHost(plan, progress, whenExists === 'leave');
  } catch (error) {
    replaced = await CancellationScope.nonCancellable(() => swappedAllTheSame(plan, progress, error));
    if (replaced === null) throw await giveUp(plan, progress, error);
  }
  if (replaced !== null && CancellationScope.current().consideredCancelled) progress.tooLate ??= TOO_LATE + CANCELLED;
  // The environment has its database: whoever cancels now is too late, and what is left to do is told as done.
  return await CancellationScope.nonCancellable(() =>
    replaced === null ? leaveAsItIs(plan, progress) : finish(plan, progress, replaced, startedAt),
  );
}

const TOO_LATE = 'this came too late, when the names were swapped already: ';

/** A restore whose hosts are lost again and again, or lose what they fetched, has another trouble than its hosts. */
const HOSTS_TRIED = 3;

interface Replaced extends SwapReport {
  readonly loaded: LoadReport;
}

async function replaceOnSomeHost(
  plan: RestorePlan,
  progress: RestoreProgress,
  onlyIfMissing: boolean,
): Promise<Replaced | null> {
  for (let tried = 1; ; tried += 1) {
    try {
      return await onHost(progress.host, () => restoreOnHost(plan, progress, onlyIfMissing));
    } catch (error) {
      if (reasonOf(error).code !== 'host-unavailable' || tried >= HOSTS_TRIED) throw error;
      await goOnElsewhere(plan, progress);
    }
  }
}

/** What was fetched is on the disk of the host that was lost; what was loaded is on the server, where any host can swap it in. */
async function goOnElsewhere(plan: RestorePlan, progress: RestoreProgress): Promise<void> {
  const wait = waitFor(`a host with room for the restore of ${plan.environment.id}`, plan, progress);
  const look = (): ReturnType<typeof check> => check(plan, progress.loaded !== undefined);
  const { host } = await waitingForRoom(wait, look, HOST_OR_ROOM);
  progress.host = host;
  upsertSearchAttributes([{ key: searchAttributes.host, value: host }]);
}

/** The first host that is there, sees the source and has room, unless the backup is loaded already. */
export async function check(plan: RestorePlan, loaded = false): Promise<{ host: string; checked: RestoreCheck }> {
  return await chooseHost(plan.hosts, (host) =>
    probe(host, `preflight of the restore on ${host}`).checkRestore({ plan, fetched: loaded }),
  );
}

function waitFor(what: string, plan: RestorePlan, progress: RestoreProgress): Wait {
  const { waits } = progress;
  return { endsAt: new Date(plan.endsAt), what, waits, show: () => show(progress, progress.step) };
}

async function restoreOnHost(
  plan: RestorePlan,
  progress: RestoreProgress,
  onlyIfMissing: boolean,
): Promise<Replaced | null> {
  const { host } = progress;
  const endsAt = new Date(plan.endsAt);
  const { id } = plan.environment;
  if (progress.loaded === undefined) {
    // Not alone yet: fetching touches nothing of the environment, and waiting for room may take hours.
    show(progress, 'fetch');
    const wait = waitFor(`room for the restore of ${id}`, plan, progress);
    progress.fetched = await waitingForRoom(wait, () => heavy(host, endsAt, `fetch for ${id}`).fetchBackup({ plan }));
  }
  return await alone(id, endsAt, () => replaceDatabase(plan, progress, onlyIfMissing));
}

/** The part that is alone on the environment; null when there is nothing to do any more. */
async function replaceDatabase(
  plan: RestorePlan,
  progress: RestoreProgress,
  onlyIfMissing: boolean,
): Promise<Replaced | null> {
  const { host } = progress;
  const endsAt = new Date(plan.endsAt);
  const { id } = plan.environment;
  if (progress.loaded === undefined) {
    // While this run waited for its turn another one may have made or replaced the database.
    const { liveOid } = await light(host, endsAt, `look at ${id} again`).checkRestore({ plan, fetched: true });
    if (onlyIfMissing && liveOid !== null) return null;
    progress.liveOid = liveOid;

    show(progress, 'load');
    const attempt = progress.fetched?.attempt ?? 'none';
    const steps = heavy(host, endsAt, `load ${id} under a temporary name, compare`);
    progress.loaded = await steps.loadDatabase({ plan, attempt });
  }
  const { loaded, liveOid = null } = progress;

  show(progress, 'swap');
  const wait = waitFor(`the others to leave ${plan.database}`, plan, progress);
  const steps = light(host, endsAt, `swap ${id}`, ['database-locked']);
  const swap = (): Promise<SwapReport> => steps.swapDatabase({ plan, loaded, liveOid });
  return { loaded, ...(await waitingForRoom(wait, swap, LOCKED)) };
}

/**
 * A swap that was cancelled or failed may have come through before: its answer is lost when its worker dies. Nobody may
 * be told that the live database is as it was when it is not. null: it is as it was.
 */
async function swappedAllTheSame(
  plan: RestorePlan,
  progress: RestoreProgress,
  error: unknown,
): Promise<Replaced | null> {
  const { host, step, loaded, liveOid = null } = progress;
  if (step !== 'swap' || loaded === undefined) return null;
  const endsAt = soon();
  try {
    const steps = light(host, endsAt, `has the swap of ${plan.environment.id} come through?`);
    const swapped = await onHost(host, () => steps.findSwap({ plan, loaded, liveOid }));
    if (swapped === null) return null;
    progress.tooLate = TOO_LATE + reasonOf(error).message;
    return { loaded, ...swapped };
  } catch (unanswered) {
    progress.swapUnknown = reasonOf(unanswered).message;
    return null;
  }
}

async function finish(
  plan: RestorePlan,
  progress: RestoreProgress,
  { loaded, oldDatabase }: Replaced,
  startedAt: number,
): Promise<RestoreResult> {
  const { host } = progress;
  show(progress, 'cleaning');
  if (oldDatabase !== null) progress.removal = await keepForAWhile(plan, oldDatabase);
  const result: RestoreResult = {
    restoreId: plan.restoreId,
    environment: plan.environment.id,
    state: plan.source.type === 'empty' ? 'created' : 'restored',
    backupId: plan.source.type === 'backup' ? plan.source.backupId : null,
    dataFrom: plan.source.type === 'backup' ? plan.source.snapshotAt : null,
    rows: loaded.rows,
    tookMs: Date.now() - startedAt,
    phases: loaded.phases,
    oldDatabase: oldDatabase === null ? null : { name: oldDatabase.name, keptFor: plan.keepOldDatabaseFor },
    warnings: [...new Set([...progress.checked.warnings, ...loaded.warnings])].concat(progress.tooLate ?? []),
  };
  await control.finishRestore({
    restoreId: plan.restoreId,
    end: {
      state: 'restored',
      host,
      report: result,
    },
  });
  await removeFetched(plan, progress);
  progress.result = result;
  show(progress, 'done');
  return result;
}

async function leaveAsItIs(plan: RestorePlan, progress: RestoreProgress): Promise<null> {
  const error = { code: 'refused', message: 'the database exists by now: another run or a person made it' };
  await control.finishRestore({ restoreId: plan.restoreId, end: { state: 'refused', host: progress.host, error } });
  await removeFetched(plan, progress);
  return null;
}

/** The restore is done whether or not its host lives to remove what only the restore needed: else its next worker does. */
async function removeFetched(plan: RestorePlan, progress: RestoreProgress): Promise<void> {
  const { host } = progress;
  const endsAt = soon();
  try {
    await onHost(host, () =>
      light(host, endsAt, `clean up after the restore of ${plan.environment.id}`).cleanRestore({
        plan,
        discard: false,
      }),
    );
  } catch (error) {
    progress.leftBehind = `what was fetched stays in the spool of ${host}: ${reasonOf(error).message}`;
  }
}

/** The replaced database outlives this run; a run of its own, with a timer that the UI shows, removes it later. */
async function keepForAWhile(
  plan: RestorePlan,
  { name: database, oid }: { name: string; oid: number },
): Promise<{ workflowId: string; at: string }> {
  const { keepOldDatabaseFor: keepFor, environment, restoreId, server, hosts } = plan;
  const workflowId = removalRunId(environment.id, restoreId);
  const until = new Date(Date.now() + durationMs(keepFor)).toISOString();
  try {
    await startChild(dropOldDatabase, {
      workflowId,
      args: [{ environment: environment.id, hosts, restoreId, server, database, oid, until }],
      workflowIdReusePolicy: 'REJECT_DUPLICATE',
      parentClosePolicy: ParentClosePolicy.ABANDON,
      staticSummary: `removes ${database} after ${keepFor}`,
    });
  } catch (error) {
    // This run was reset: its removal keeps its own time, and one that was cancelled is not started again.
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
  }
  return { workflowId, at: until };
}

async function giveUp(plan: RestorePlan, progress: RestoreProgress, error: unknown): Promise<unknown> {
  return await CancellationScope.nonCancellable(async () => {
    const reason = reasonOf(error);
    progress.reason = reason;
    const endsAt = soon();
    try {
      // What was begun is on the server, where any host can remove it; a lost one has its files removed by its next worker.
      await onAnyHost([progress.host, ...plan.hosts], (any) =>
        light(any, endsAt, 'remove what the restore began').cleanRestore({ plan, discard: true }),
      );
    } catch (failure) {
      progress.leftBehind = `not everything could be removed: ${reasonOf(failure).message}`;
    }
    const state = isCancellation(error) ? 'cancelled' : 'failed';
    const nothingReplaced = progress.swapUnknown === undefined;
    const end = { state, host: progress.host, error: reason, nothingReplaced } as const;
    await unlessClosed(() => control.finishRestore({ restoreId: plan.restoreId, end }));
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
