import { CancellationScope, isCancellation, sleep, upsertSearchAttributes } from '@temporalio/workflow';

import { sees, type CopyPlan, type NamedDestination } from '../activities/plans.ts';
import type { MissingCopy } from '../catalog/missing-copies.ts';
import { describeCopies, type CopiesProgress } from './copies-text.ts';
import { makeCopy, TOLD, type CopyOutcome } from './copy-to.ts';
import { failRun, reasonOf, type Reason } from './failure.ts';
import type { CopyInput } from './inputs.ts';
import { chooseHost, onHost } from './on-host.ts';
import { beforeAll, openRun, showSubject } from './opening.ts';
import { showPhase } from './phase.ts';
import { searchAttributes } from './search-attributes.ts';
import { control, heavy, probe } from './steps.ts';
import type { Wait } from './waits.ts';

/** A copy that was to be made, and how that ended. */
export interface FurtherCopyOutcome extends CopyOutcome {
  readonly backupId: string;
  readonly sizeBytes: number;
}

export interface CopiesResult {
  readonly environment: string;
  /** `incomplete`: some copies are still missing. */
  readonly state: 'complete' | 'incomplete';
  /** Of what was copied. */
  readonly sizeBytes: number;
  readonly copies: readonly FurtherCopyOutcome[];
}

/** A backup that still runs is copied when it is complete. */
const LOOK_AGAIN_MS = 30_000;

/**
 * Brings the verified backups of one environment from where they are to where they are not, without dumping again: each
 * destination by itself, the newest backup first.
 */
export async function copyBackups(input: CopyInput): Promise<CopiesResult> {
  openRun(
    'copyBackups',
    input,
    {
      ...{ environment: 'name', to: 'names', 'from?': 'name', 'backup?': 'backup', 'repair?': 'flag' },
      ...{ 'onlyIn?': 'name', 'routine?': 'name', 'endsAt?': 'time' },
    },
    '{"environment": "acme-prod", "to": ["offsite"]}',
  );
  const startedAt = new Date(Date.now()).toISOString();
  showSubject(input);
  const plan = await beforeAll(`Copies of ${input.environment}`, () => control.resolveCopies({ ...input, startedAt }));
  upsertSearchAttributes([{ key: searchAttributes.stage, value: plan.environment.stage }]);
  const progress: CopiesProgress = { plan, waits: new Map(), under: new Map(), running: [], copies: [] };
  try {
    show(progress, 'copies');
    const { backup, onlyIn, repair = false } = input;
    const which = { backup, onlyIn, repair, before: startedAt };
    await Promise.all(plan.to.map((destination) => fill(destination, progress, which)));
  } catch (error) {
    throw await giveUp(progress, error);
  }
  show(progress, 'done');
  const { copies } = progress;
  return {
    environment: plan.environment.id,
    state: copies.every(({ state }) => state === 'verified') ? 'complete' : 'incomplete',
    sizeBytes: copies.reduce((sum, { state, sizeBytes }) => sum + (state === 'verified' ? sizeBytes : 0), 0),
    copies,
  };
}

/** Makes what one destination lacks, until nothing is left that was not tried, or the run must end. */
async function fill(
  destination: NamedDestination,
  progress: CopiesProgress,
  which: { backup: string | undefined; onlyIn: string | undefined; repair: boolean; before: string },
): Promise<void> {
  const { plan } = progress;
  const tried = new Set<string>();
  for (;;) {
    const question = { environment: plan.environment.id, destination: destination.name, ...which };
    const { missing, running } = await control.whatIsMissing(question);
    progress.running = running;
    const next = missing.find(({ backupId }) => !tried.has(backupId));
    const timeIsOver = Date.now() >= Date.parse(plan.endsAt);
    if (next !== undefined && !timeIsOver) {
      tried.add(next.backupId);
      await copyOne(next, destination, progress, which.repair);
    } else if (running.length === 0 || timeIsOver) {
      const left = missing.filter(({ backupId }) => !tried.has(backupId));
      for (const { backupId, sizeBytes } of left) tooLate(progress, destination.name, backupId, sizeBytes);
      for (const backupId of running) tooLate(progress, destination.name, backupId, 0);
      return;
    } else {
      show(progress, 'copies');
      await sleep(LOOK_AGAIN_MS, { summary: `waits for ${running.join(', ')} to be copied to ${destination.name}` });
    }
  }
}

/** What is not there by the end is missing, so that no run looks complete without it. */
function tooLate(progress: CopiesProgress, destination: string, backupId: string, sizeBytes: number): void {
  const reason = { code: 'busy', message: 'its turn did not come before the end of the run' };
  progress.copies = [...progress.copies, { destination, state: 'missing', reason, backupId, sizeBytes }];
}

async function copyOne(
  missing: MissingCopy,
  destination: NamedDestination,
  progress: CopiesProgress,
  repair: boolean,
): Promise<void> {
  const { plan, waits, under } = progress;
  const { backupId, sizeBytes } = missing;
  const wait: Wait = {
    endsAt: new Date(plan.endsAt),
    what: `the destination ${destination.name}`,
    waits,
    show: () => show(progress, 'copies'),
  };
  under.set(destination.name, missing);
  show(progress, 'copies');
  const sources = plan.from.filter(({ name }) => missing.verifiedIn.includes(name) && name !== destination.name);
  const one = { backupId, sources, destination };
  let kept: Reason | undefined;
  const copy = await makeCopy({ backupId, destination: destination.name, wait }, async () => {
    kept = await copyOnOneHost(plan, wait.endsAt, one, repair);
  });
  under.delete(destination.name);
  const outcome =
    kept === undefined ? copy : { destination: destination.name, state: 'missing' as const, reason: kept };
  progress.copies = [...progress.copies, { ...outcome, backupId, sizeBytes }];
  show(progress, 'copies');
}

/** Gives why a damaged copy must stay as it is; undefined when a whole one is there. */
async function copyOnOneHost(
  plan: CopyPlan,
  endsAt: Date,
  copy: { backupId: string; sources: readonly NamedDestination[]; destination: NamedDestination },
  repair: boolean,
): Promise<Reason | undefined> {
  const { backupId, destination } = copy;
  // Nothing of it is kept on a host, so any will do that reaches both ends.
  const able = plan.hosts.filter(
    (host) =>
      sees(host, destination.config) &&
      // What is whole where it is needs no source to be proven.
      ((repair && copy.sources.length === 0) || copy.sources.some(({ config }) => sees(host, config))),
  );
  const { host } = await chooseHost(able, (candidate) => probe(candidate, `is ${candidate} there?`).checkHost());
  const step = { ...copy, plan, sources: copy.sources.filter(({ config }) => sees(host, config)) };
  return await onHost(host, async () => {
    if (repair) {
      const mended = await heavy(host, endsAt, `look at ${backupId} in ${destination.name}`, TOLD).mendCopy(step);
      if (mended.left === 'proven') return undefined;
      if (mended.left === 'damaged') return mustStay(copy, mended.why);
    }
    await heavy(host, endsAt, `copy ${backupId} to ${destination.name}`, TOLD).copyObject(step);
    await heavy(host, endsAt, `verify ${backupId} in ${destination.name}`, TOLD).verifyCopy(step);
    return undefined;
  });
}

function mustStay({ backupId, destination }: { backupId: string; destination: NamedDestination }, why: string): Reason {
  return {
    code: 'bad-content',
    message: `the damaged copy of ${backupId} in ${destination.name} was left as it is: ${why}`,
    hint: 'it may be the last of this backup; when another destination has a whole copy again, cofre sync --repair replaces it',
  };
}

/** Copies that were made stay; those under way will not be there. */
async function giveUp(progress: CopiesProgress, error: unknown): Promise<unknown> {
  const reason = reasonOf(error);
  return await CancellationScope.nonCancellable(async () => {
    for (const [destination, { backupId }] of progress.under)
      await control.recordMissingCopy({ backupId, destination, reason });
    progress.under.clear();
    progress.waits.clear();
    showPhase('failed', describeCopies(progress, reason), reason.code === 'cancelled' ? 'nothing' : 'operator');
    return isCancellation(error) ? error : failRun(reason);
  });
}

function show(progress: CopiesProgress, step: 'copies' | 'done'): void {
  const waiting = progress.waits.size > 0;
  const toMend = step === 'done' && progress.copies.some(({ state }) => state === 'missing');
  showPhase(
    waiting ? 'waiting' : step,
    describeCopies(progress, step),
    waiting ? 'resource' : toMend ? 'operator' : 'nothing',
  );
}
