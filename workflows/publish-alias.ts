import { condition, isCancellation } from '@temporalio/workflow';

import type { BackupPlan, NamedDestination } from '../activities/plans.ts';
import { TOLD } from './copy-to.ts';
import { reasonOf, type Reason } from './failure.ts';
import { heavy } from './steps.ts';
import { DESTINATION_TROUBLE, waitingForRoom, type Wait } from './waits.ts';

export interface AliasOutcome {
  readonly destination: string;
  /** `kept`: what stands there stays, for the reason in `why`; `missing`: it could not be published. */
  readonly state: 'published' | 'kept' | 'missing';
  readonly why?: string;
  readonly reason?: Reason;
}

export interface AliasJob {
  readonly plan: BackupPlan;
  readonly host: string;
  readonly attempt: string;
  /** Why the dump is marked as anomalous; null if it is not. */
  readonly anomaly: string | null;
  /** The wait for a destination, until then. */
  readonly waitFor: (destination: NamedDestination, endsAt: Date) => Wait;
  readonly onOutcome: (outcome: AliasOutcome) => void;
}

/** The backup is not closed as long as its alias waits, and the next night publishes a newer one anyway. */
const LONGEST_WAIT_MS = 30 * 60_000;

const GIVEN_UP: Reason = { code: 'cancelled', message: 'the run was cancelled, or its host was lost' };

/**
 * Publishes the dump as the alias once `isTime`, in one destination after the other: the file is made once. Never throws: an
 * alias that could not be published is told, and the backup is whole without it. A cancelled run leaves the old one.
 */
export async function publishAliases(job: AliasJob, isTime: () => boolean, isBackup: () => boolean): Promise<void> {
  const { plan, anomaly, onOutcome } = job;
  const { alias } = plan;
  if (alias === undefined) return;
  try {
    await condition(isTime);
  } catch {
    return; // The run was cancelled, or its host is lost, and so are its copies.
  }
  if (!isBackup()) return;
  const destinations = plan.destinations.filter(({ name }) => alias.to.includes(name));
  if (anomaly !== null) {
    for (const { name } of destinations)
      onOutcome({ destination: name, state: 'kept', why: 'this backup is marked as anomalous' });
    return;
  }
  // Who has to wait comes last: the others are not to wait with it.
  const away: NamedDestination[] = [];
  for (const destination of destinations) {
    const outcome = await publish(job, destination, new Date());
    if (outcome.reason !== undefined && DESTINATION_TROUBLE.has(outcome.reason.code)) away.push(destination);
    else onOutcome(outcome);
  }
  const waitsUntil = new Date(Math.min(Date.parse(plan.endsAt), Date.now() + LONGEST_WAIT_MS));
  for (const destination of away) onOutcome(await publish(job, destination, waitsUntil));
}

async function publish(job: AliasJob, destination: NamedDestination, waitsUntil: Date): Promise<AliasOutcome> {
  const { plan, host, attempt, waitFor } = job;
  const { name } = destination;
  const endsAt = new Date(plan.endsAt);
  try {
    const published = await waitingForRoom(
      waitFor(destination, waitsUntil),
      () =>
        heavy(host, endsAt, `publish the alias of ${plan.environment.id} in ${name}`, TOLD).publishAlias({
          plan,
          attempt,
          destination,
        }),
      DESTINATION_TROUBLE,
    );
    if (published.state === 'published') return { destination: name, state: 'published' };
    return { destination: name, state: 'kept', why: `${published.backupId} has newer data` };
  } catch (error) {
    const reason = isCancellation(error) ? GIVEN_UP : reasonOf(error);
    return { destination: name, state: 'missing', reason };
  }
}
