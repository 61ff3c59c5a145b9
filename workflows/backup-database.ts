import { CancellationScope, isCancellation, uuid4, upsertSearchAttributes, workflowInfo } from '@temporalio/workflow';

import type { ArchiveReport, DumpReport } from '../activities/reports.ts';
import type { BackupPlan } from '../activities/plans.ts';
import { newBackupId } from '../catalog/backup-id.ts';
import { describeBackup, missingAliases, missingCopies, type BackupProgress } from './backup-text.ts';
import { copyTo, type CopyOutcome } from './copy-to.ts';
import { failRun, reasonOf, unlessClosed } from './failure.ts';
import type { BackupInput } from './inputs.ts';
import { alone } from './lock.ts';
import { chooseHost, onAnyHost, onHost } from './on-host.ts';
import { beforeAll, openRun } from './opening.ts';
import { showPhase } from './phase.ts';
import { publishAliases, type AliasOutcome } from './publish-alias.ts';
import { searchAttributes } from './search-attributes.ts';
import { control, heavy, light, probe, soon } from './steps.ts';
import { HOST_OR_ROOM, waitingForRoom, type Wait } from './waits.ts';

export interface BackupResult {
  readonly backupId: string;
  readonly environment: string;
  /** `incomplete`: at least one verified copy, but fewer than the policy wants. */
  readonly state: 'complete' | 'incomplete';
  readonly host: string;
  readonly rows: number;
  readonly rawBytes: number;
  readonly sizeBytes: number;
  /** In words, why it is marked as anomalous; null if it is not. */
  readonly anomaly: string | null;
  readonly copies: readonly CopyOutcome[];
  /** Where the dump became the alias for old consumers, or why not; left out where nobody wants one. */
  readonly aliases?: readonly AliasOutcome[];
}

/** Each dump costs the server as much as the first, so hosts that are lost one after the other end the run. */
const DUMPS_TRIED = 3;

/** Backs up the database of one environment: dump, compress, then for each destination upload and verify. */
export async function backupDatabase(input: BackupInput): Promise<BackupResult> {
  openRun(
    'backupDatabase',
    input,
    { environment: 'name', 'to?': 'names', 'routine?': 'name', 'endsAt?': 'time' },
    '{"environment": "acme-prod"}',
  );
  const { workflowId, firstExecutionRunId: runId } = workflowInfo();
  const startedAt = new Date(Date.now());
  const backupId = newBackupId(startedAt, uuid4());
  upsertSearchAttributes([
    { key: searchAttributes.environment, value: input.environment },
    { key: searchAttributes.kind, value: 'database' },
    { key: searchAttributes.backupId, value: backupId },
    { key: searchAttributes.routine, value: input.routine ?? null },
  ]);

  const plan = await beforeAll(`Backup of ${input.environment}`, () =>
    control.resolveBackup({ ...input, backupId, workflowId, runId, startedAt: startedAt.toISOString() }),
  );
  upsertSearchAttributes([{ key: searchAttributes.stage, value: plan.environment.stage }]);
  const progress: BackupProgress = {
    plan,
    step: 'preflight',
    waits: new Map(),
    attempts: new Set(),
    copies: [],
    aliases: [],
  };
  try {
    return await makeBackup(plan, progress);
  } catch (error) {
    throw await giveUp(plan, progress, error);
  }
}

async function makeBackup(plan: BackupPlan, progress: BackupProgress): Promise<BackupResult> {
  for (;;) {
    try {
      return await makeBackupOnOneHost(plan, progress);
    } catch (error) {
      const lost = reasonOf(error).code === 'host-unavailable' && progress.dumped !== undefined;
      if (!lost || progress.attempts.size >= DUMPS_TRIED || Date.now() >= Date.parse(plan.endsAt)) throw error;
      // The dump is on that host's disk: the run goes on there if it is back, else begins again on another host.
    }
  }
}

async function makeBackupOnOneHost(plan: BackupPlan, progress: BackupProgress): Promise<BackupResult> {
  const { id } = plan.environment;

  // Only the dump needs the environment for itself; its files can be packed and sent while others work on the data.
  const { host, dumped } = await waitingForRoom(
    waitFor(`a host with room for the dump of ${id}`, progress),
    () => dumpAlone(plan, progress),
    HOST_OR_ROOM,
  );
  progress.dumped = dumped;
  progress.archive = undefined;

  const { archive, copies } = await onHost(host, () => packAndCopy(plan, progress, host, dumped));
  const verified = verifiedCopies(progress).length;
  if (verified === 0) {
    const reason = copies.find((copy) => copy.reason !== undefined)?.reason;
    throw failRun({ ...(reason ?? { code: 'unexpected', message: 'no copy was verified' }) });
  }
  const state = verified >= plan.complete ? 'complete' : 'incomplete';
  // The backup is made: whoever cancels now is too late.
  await CancellationScope.nonCancellable(async () => {
    await control.finishBackup({ backupId: plan.backupId, state, reason: null });
    // Last: as long as the catalog does not know of a verified copy, the local file may be the only one.
    show(progress, 'cleaning');
    progress.leftBehind = await removeLocalFiles(plan, host, progress);
  });
  show(progress, 'done');
  return {
    backupId: plan.backupId,
    environment: id,
    state,
    host,
    rows: dumped.rows,
    rawBytes: dumped.rawBytes,
    sizeBytes: archive.sizeBytes,
    anomaly: dumped.anomaly,
    copies,
    ...(progress.aliases.length === 0 ? {} : { aliases: progress.aliases }),
  };
}

async function packAndCopy(
  plan: BackupPlan,
  progress: BackupProgress,
  host: string,
  { attempt, anomaly }: DumpReport,
): Promise<{ archive: ArchiveReport; copies: readonly CopyOutcome[] }> {
  const endsAt = new Date(plan.endsAt);
  const { id } = plan.environment;
  show(progress, 'compress');
  const archive = await waitingForRoom(waitFor(`room to compress the dump of ${id}`, progress), () =>
    heavy(host, endsAt, `compress ${id}`).compressDump({ plan, attempt }),
  );
  progress.archive = archive;
  upsertSearchAttributes([{ key: searchAttributes.bytes, value: archive.sizeBytes }]);

  show(progress, 'copies');
  const proven = verifiedCopies(progress);
  progress.copies = proven;
  progress.aliases = [];
  let ended = false;
  let failed = false;
  // Beside the copies that still wait for their destination: old consumers need not wait with them.
  const publishing = publishAliases(
    {
      ...{ plan, host, attempt, anomaly },
      waitFor: ({ name }, until) => ({ ...waitFor(`the alias in ${name}`, progress), endsAt: until }),
      onOutcome: (outcome) => {
        progress.aliases = [...progress.aliases, outcome];
        show(progress, 'copies');
      },
    },
    () => ended || isCopiedAsFarAsItGoes(progress),
    () => !failed && verifiedCopies(progress).length > 0,
  );
  const copying = Promise.all(
    plan.destinations.map(async (destination) => {
      const before = proven.find((copy) => copy.destination === destination.name);
      if (before !== undefined) return before;
      const wait = waitFor(`the destination ${destination.name}`, progress);
      const copy = await copyTo({ plan, host, attempt, archive, destination, wait });
      progress.copies = [...progress.copies, copy];
      show(progress, 'copies');
      return copy;
    }),
  );
  try {
    return { archive, copies: await copying };
  } catch (error) {
    failed = true;
    throw error;
  } finally {
    ended = true;
    await publishing;
  }
}

/** Enough copies are verified; or some are, and all others wait. */
function isCopiedAsFarAsItGoes(progress: BackupProgress): boolean {
  const { plan, copies, waits } = progress;
  const verified = verifiedCopies(progress).length;
  return verified >= plan.complete || (verified > 0 && copies.length + waits.size >= plan.destinations.length);
}

function verifiedCopies({ copies }: BackupProgress): readonly CopyOutcome[] {
  return copies.filter(({ state }) => state === 'verified');
}

/**
 * Removes what nobody needs any more: the local files, and what lost hosts had stored of their dumps. The backup is
 * whole without it, so what cannot be removed now does not fail the run; gives it in words.
 */
async function removeLocalFiles(
  plan: BackupPlan,
  host: string,
  { attempts }: BackupProgress,
): Promise<string | undefined> {
  return await removeAll([
    () => onHost(host, () => light(host, soon(), `remove local files of ${plan.environment.id}`).deleteLocal({ plan })),
    ...(attempts.size > 1 ? [() => discardCopies(plan, host, attempts)] : []),
  ]);
}

/** Any host can do it where the one that stored them is lost. */
async function discardCopies(plan: BackupPlan, host: string, attempts: ReadonlySet<string>): Promise<void> {
  await onAnyHost([host, ...plan.hosts], (any) =>
    light(any, soon(), `remove what ${plan.backupId} stored for nobody`).discardCopies({
      plan,
      attempts: [...attempts],
    }),
  );
}

/** Does all the removals, whatever becomes of the others. Gives in words what could not be removed. */
async function removeAll(removals: readonly (() => Promise<void>)[]): Promise<string | undefined> {
  const failures: string[] = [];
  for (const removal of removals) {
    try {
      await removal();
    } catch (error) {
      failures.push(reasonOf(error).message);
    }
  }
  return failures.length === 0 ? undefined : `not everything could be removed: ${failures.join('; ')}`;
}

async function dumpAlone(plan: BackupPlan, progress: BackupProgress): Promise<{ host: string; dumped: DumpReport }> {
  const endsAt = new Date(plan.endsAt);
  const { id } = plan.environment;
  // Meanwhile the lock is asked for. What was found holds unless that took a while: then it is looked at again.
  const looking = preflight(plan, progress);
  looking.catch(() => undefined);
  return await alone(id, endsAt, async (hadToWait) => {
    const { host, estimatedRawBytes } = await (hadToWait ? preflight(plan, progress) : looking);
    show(progress, 'dump');
    const dumped = await onHost(host, () =>
      heavy(host, endsAt, `dump ${id} on ${host}`).dump({ plan, estimatedRawBytes }),
    );
    progress.attempts.add(dumped.attempt);
    return { host, dumped };
  });
}

async function preflight(
  plan: BackupPlan,
  progress: BackupProgress,
): Promise<{ host: string; estimatedRawBytes: number }> {
  const { id } = plan.environment;
  show(progress, 'preflight');
  // Where a copy is proven another dump would be refused: only the host that has this one can make the other copies.
  const { host: last } = progress;
  const hosts = last !== undefined && verifiedCopies(progress).length > 0 ? [last] : plan.hosts;
  const { host, checked } = await chooseHost(hosts, (candidate) =>
    probe(candidate, `preflight ${id} on ${candidate}`).checkBackup({ plan }),
  );
  progress.host = host;
  progress.estimatedBytes = checked.estimatedRawBytes;
  upsertSearchAttributes([{ key: searchAttributes.host, value: host }]);
  return { host, ...checked };
}

/** Closes a run that failed or was cancelled: what it leaves behind, and what the catalog and the page say of it. */
async function giveUp(plan: BackupPlan, progress: BackupProgress, error: unknown): Promise<unknown> {
  return await CancellationScope.nonCancellable(async () => {
    const reason = reasonOf(error);
    progress.reason = reason;
    await unlessClosed(() => control.finishBackup({ backupId: plan.backupId, state: 'failed', reason }));
    if (progress.host !== undefined) {
      progress.leftBehind = await cleanUp(plan, progress.host, progress, reason.code);
    }
    show(progress, 'failed');
    return isCancellation(error) ? error : failRun(reason, { backupId: plan.backupId });
  });
}

/** Removes what is of no use to anybody. Gives in words what could not be removed. */
async function cleanUp(
  plan: BackupPlan,
  host: string,
  { archive, attempts }: BackupProgress,
  why: string,
): Promise<string | undefined> {
  // A finished archive that no destination would take is the only copy there is: it stays, unless somebody cancelled.
  const keepArchive = archive !== undefined && why !== 'cancelled';
  const left = await removeAll([
    ...(attempts.size > 0 ? [() => discardCopies(plan, host, attempts)] : []),
    // A lost host has it removed by its next worker.
    ...(keepArchive || why === 'host-unavailable'
      ? []
      : [() => onHost(host, () => light(host, soon(), `clean up after ${plan.backupId}`).deleteLocal({ plan }))]),
  ]);
  return (
    left ?? (keepArchive ? `the archive stays in the spool of ${host} until a later backup is verified` : undefined)
  );
}

function waitFor(what: string, progress: BackupProgress): Wait {
  const { plan, waits } = progress;
  return { endsAt: new Date(plan.endsAt), what, waits, show: () => show(progress, progress.step) };
}

function isAsItShouldBe(progress: BackupProgress): boolean {
  const { dumped, leftBehind } = progress;
  const debts = [...missingCopies(progress), ...missingAliases(progress)];
  return debts.length === 0 && leftBehind === undefined && dumped?.anomaly == null;
}

function show(progress: BackupProgress, step: BackupProgress['step']): void {
  progress.step = step;
  const { reason, waits } = progress;
  const waiting = reason === undefined && waits.size > 0;
  const toMend = reason === undefined ? step === 'done' && !isAsItShouldBe(progress) : reason.code !== 'cancelled';
  showPhase(
    waiting ? 'waiting' : step,
    describeBackup(progress),
    waiting ? 'resource' : toMend ? 'operator' : 'nothing',
  );
}
