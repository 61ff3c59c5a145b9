import {
  ParentClosePolicy,
  executeChild,
  isCancellation,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';

import type { Comparison } from '../activities/differences.ts';
import { sees, type NamedDestination } from '../activities/plans.ts';
import { adoptDumps, type AdoptedDump } from './adopt-dumps.ts';
import { copyBackups } from './copy-backups.ts';
import { TOLD } from './copy-to.ts';
import { reasonOf, failRun, type Reason } from './failure.ts';
import type { SyncInput } from './inputs.ts';
import { onAnyHost } from './on-host.ts';
import { beforeAll, openRun } from './opening.ts';
import { showPhase } from './phase.ts';
import { searchAttributes } from './search-attributes.ts';
import { control, heavy } from './steps.ts';
import { describeSync, isWhole, type SyncProgress } from './sync-text.ts';
import { DESTINATION_TROUBLE, waitingForRoom } from './waits.ts';

/** A destination that could not be compared: nothing is known of what it has. */
export interface NotCompared {
  readonly destination: string;
  readonly reason: Reason;
}

/** How the repair of one environment's copies ended. */
export interface Repair {
  readonly environment: string;
  readonly verified: number;
  readonly missing: number;
  /** Why its run failed. */
  readonly reason?: Reason;
}

export interface SyncResult {
  /** `incomplete`: a destination could not be compared, or has copies that are not verified, holds that are not written, or dumps that are not adopted. */
  readonly state: 'complete' | 'incomplete';
  readonly compared: readonly Comparison[];
  readonly notCompared: readonly NotCompared[];
  readonly adopted: readonly AdoptedDump[];
  /** Dumps of which the next run is to make backups. */
  readonly moreDumps: number;
  readonly repaired: readonly Repair[];
  /** Copies in these destinations that are missing, damaged or not proven, now that it has ended. */
  readonly unverified: number;
  /** Copies in these destinations beside which the file of a hold is missing. */
  readonly holdsUnwritten: number;
  /** Backups or holds were taken in that the catalog had forgotten: nothing is pruned until somebody confirms the holds. */
  readonly holdsUnconfirmed: boolean;
}

/** Environments at once, so that a repair is no heavier than a night. */
const REPAIRS_AT_ONCE = 4;

/**
 * Compares the catalog with what its destinations have, each by itself: marks copies that are missing or damaged, enters backups
 * that the catalog does not know, and removes nothing. With `repair` it then has the copies made that are not as they should be.
 */
export async function syncCatalog(input: SyncInput): Promise<SyncResult> {
  openRun(
    'syncCatalog',
    input,
    { 'destinations?': 'names', 'repair?': 'flag', 'routine?': 'name', 'endsAt?': 'time' },
    '{"destinations": ["volume"]}',
  );
  upsertSearchAttributes([{ key: searchAttributes.routine, value: input.routine ?? null }]);
  const startedAt = new Date(Date.now()).toISOString();
  const plan = await beforeAll('Catalog and destinations', async () => {
    // In a catalog that was restored from an older one, backups run that have ended long ago: what they made is found below.
    await control.settleLostRuns();
    return await control.resolveSync({ ...input, startedAt });
  });
  const names = plan.destinations.map(({ name }) => name);
  const progress: SyncProgress = {
    plan,
    repair: input.repair === true,
    waits: new Map(),
    compared: [],
    notCompared: [],
    adopted: [],
    moreDumps: 0,
    repaired: [],
    unverified: 0,
    holdsUnwritten: 0,
    holdsUnconfirmed: false,
  };
  try {
    show(progress, 'compare');
    await Promise.all(plan.destinations.map((destination) => compareOne(destination, progress)));
    const found = await control.findUnverified({ destinations: names });
    progress.unverified = found.copies;
    progress.holdsUnwritten = found.holdsUnwritten;
    progress.holdsUnconfirmed = found.holdsUnconfirmed;
    if (input.repair === true && found.environments.length > 0) {
      show(progress, 'copies');
      await repairAll(found.environments, input.routine, progress);
      progress.unverified = (await control.findUnverified({ destinations: names })).copies;
    }
  } catch (error) {
    const reason = reasonOf(error);
    progress.waits.clear();
    showPhase('failed', describeSync(progress, reason), reason.code === 'cancelled' ? 'nothing' : 'operator');
    throw isCancellation(error) ? error : failRun(reason);
  }
  show(progress, 'done');
  const { compared, notCompared, adopted, moreDumps, repaired, unverified, holdsUnwritten, holdsUnconfirmed } =
    progress;
  const state = isWhole(progress) ? 'complete' : 'incomplete';
  return { state, compared, notCompared, adopted, moreDumps, repaired, unverified, holdsUnwritten, holdsUnconfirmed };
}

/** Waits while the destination is away, until the end of the run; the others go on meanwhile. */
async function compareOne(destination: NamedDestination, progress: SyncProgress): Promise<void> {
  const { plan, waits } = progress;
  const { name, config } = destination;
  const wait = {
    endsAt: new Date(plan.endsAt),
    what: `the destination ${name}`,
    waits,
    show: () => show(progress, 'compare'),
  };
  const able = plan.hosts.filter((host) => sees(host, config));
  try {
    const comparison = await waitingForRoom(
      wait,
      () =>
        onAnyHost(able, (host) =>
          heavy(host, wait.endsAt, `compare ${name}`, TOLD).compareDestination({ destination }),
        ),
      DESTINATION_TROUBLE,
    );
    progress.compared = [...progress.compared, comparison];
    if (config.adopt === undefined) return show(progress, 'compare');
    const found = await adoptDumps(destination, able, wait, (dump) => {
      progress.adopted = [...progress.adopted, dump];
      show(progress, 'compare');
    });
    progress.moreDumps += found.more;
  } catch (error) {
    if (isCancellation(error)) throw error;
    progress.notCompared = [...progress.notCompared, { destination: name, reason: reasonOf(error) }];
  }
  show(progress, 'compare');
}

/** A run for each environment, the newest backup first in each: so that there is soon something to restore everywhere. */
async function repairAll(
  environments: readonly { environment: string; to: string[] }[],
  routine: string | undefined,
  progress: SyncProgress,
): Promise<void> {
  const waiting = [...environments];
  const lane = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const { environment, to } = next;
      progress.repaired = [...progress.repaired, await repairOne(environment, to, routine, progress.plan.endsAt)];
      show(progress, 'copies');
    }
  };
  await Promise.all(Array.from({ length: REPAIRS_AT_ONCE }, lane));
}

async function repairOne(
  environment: string,
  to: readonly string[],
  routine: string | undefined,
  endsAt: string,
): Promise<Repair> {
  try {
    const { copies } = await executeChild(copyBackups, {
      workflowId: `copyBackups/${environment}/repair-${workflowInfo().runId.slice(0, 8)}`,
      args: [{ environment, to, repair: true, endsAt, ...(routine === undefined ? {} : { routine }) }],
      parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
      staticSummary: `repairs copies of ${environment}`,
    });
    const verified = copies.filter(({ state }) => state === 'verified').length;
    return { environment, verified, missing: copies.length - verified };
  } catch (error) {
    if (isCancellation(error)) throw error;
    return { environment, verified: 0, missing: 0, reason: reasonOf(error) };
  }
}

function show(progress: SyncProgress, step: 'compare' | 'copies' | 'done'): void {
  const waiting = progress.waits.size > 0;
  const toMend = step === 'done' && (!isWhole(progress) || progress.holdsUnconfirmed);
  showPhase(
    waiting ? 'waiting' : step,
    describeSync(progress, step),
    waiting ? 'resource' : toMend ? 'operator' : 'nothing',
  );
}
