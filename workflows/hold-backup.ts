import { isCancellation, upsertSearchAttributes, uuid4 } from '@temporalio/workflow';

import type { HoldPlan } from '../activities/plans.ts';
import { TOLD } from './copy-to.ts';
import { failRun, reasonOf, type Reason } from './failure.ts';
import { describeHold, type HoldProgress } from './hold-text.ts';
import type { HoldInput, ReleaseInput } from './inputs.ts';
import { onAnyHost } from './on-host.ts';
import { beforeAll, openRun, showSubject } from './opening.ts';
import { showPhase } from './phase.ts';
import { searchAttributes } from './search-attributes.ts';
import { control, light, soon } from './steps.ts';

export interface HoldResult {
  /** `incomplete`: in some destination the file is not as it should be. What is released stays held then. */
  readonly state: 'complete' | 'incomplete';
  readonly environment: string;
  readonly backupId: string;
  /** The hold that was set or released; null where nothing held the backup. */
  readonly hold: HoldPlan['hold'];
  /** Where its file lies now, or lies no more. */
  readonly destinations: readonly string[];
  readonly missing: readonly { readonly destination: string; readonly reason: Reason }[];
}

/**
 * Holds a backup: in the catalog first, which decides, and then by a file beside each copy, so that a catalog that is made anew from
 * them knows it. A destination that is away is not waited for: the hold counts, and `cofre sync` writes the file when it is back.
 */
export async function holdBackup(input: HoldInput): Promise<HoldResult> {
  openRun(
    'holdBackup',
    input,
    { backup: 'backup', reason: 'text', until: 'time', 'requestedBy?': 'text' },
    '{"backup": "20261120T210000Z-1f3a9c04", "reason": "court case 4711", "until": "2027-11-20T00:00:00.000Z"}',
  );
  const order = { ...input, holdId: uuid4(), startedAt: new Date(Date.now()).toISOString() };
  const plan = await beforeAll(`Hold of ${input.backup}`, () => control.openHold(order));
  return await changeFiles({ plan, releases: false, destinations: [], missing: [] }, () => Promise.resolve());
}

/** Releases a backup: the files first and the catalog last, so that it stays held whatever happens in between. */
export async function releaseBackup(input: ReleaseInput): Promise<HoldResult> {
  openRun(
    'releaseBackup',
    input,
    { backup: 'backup', 'requestedBy?': 'text' },
    '{"backup": "20261120T210000Z-1f3a9c04"}',
  );
  const plan = await beforeAll(`Release of ${input.backup}`, () => control.openRelease(input));
  return await changeFiles({ plan, releases: true, destinations: [], missing: [] }, async ({ missing }) => {
    const { backupId, hold } = plan;
    if (hold !== null && missing.length === 0) await control.endRelease({ backupId, holdId: hold.id });
  });
}

/** Has each destination made what the catalog says, all at once, and then does what comes after that. */
async function changeFiles(
  progress: HoldProgress,
  afterwards: (progress: HoldProgress) => Promise<void>,
): Promise<HoldResult> {
  const { plan } = progress;
  const { backupId, hold } = plan;
  const { id: environment, stage } = plan.environment;
  showSubject({ environment, backup: backupId });
  upsertSearchAttributes([{ key: searchAttributes.stage, value: stage }]);
  try {
    showPhase('hold', describeHold(progress, 'hold'));
    await Promise.all(plan.places.map((place) => changeOne(place, progress)));
    await afterwards(progress);
  } catch (error) {
    const reason = reasonOf(error);
    showPhase('failed', describeHold(progress, reason), 'operator');
    throw isCancellation(error) ? error : failRun(reason);
  }
  const { destinations, missing } = progress;
  showPhase('done', describeHold(progress, 'done'), missing.length === 0 ? 'nothing' : 'operator');
  const state = missing.length === 0 ? 'complete' : 'incomplete';
  return { state, environment, backupId, hold, destinations, missing };
}

async function changeOne({ destination, hosts }: HoldPlan['places'][number], progress: HoldProgress): Promise<void> {
  const { backupId, environment } = progress.plan;
  const { name } = destination;
  try {
    await onAnyHost(hosts, (host) =>
      light(host, soon(), `hold.json of ${backupId} in ${name}`, TOLD).layHold({
        environment: environment.id,
        backupId,
        destination,
      }),
    );
    progress.destinations = [...progress.destinations, name].sort();
  } catch (error) {
    if (isCancellation(error)) throw error;
    progress.missing = [...progress.missing, { destination: name, reason: reasonOf(error) }];
  }
}
