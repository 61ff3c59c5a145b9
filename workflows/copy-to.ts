import { isCancellation } from '@temporalio/workflow';

import type { ArchiveReport } from '../activities/reports.ts';
import type { BackupPlan, NamedDestination } from '../activities/plans.ts';
import { reasonOf, type Reason } from './failure.ts';
import { control, heavy } from './steps.ts';
import { DESTINATION_TROUBLE, waitingForRoom, type Wait } from './waits.ts';

export interface CopyOutcome {
  readonly destination: string;
  readonly state: 'verified' | 'missing';
  readonly reason?: Reason;
}

/** Brings one copy of a new backup to one destination and proves it there. */
export async function copyTo(job: {
  plan: BackupPlan;
  host: string;
  attempt: string;
  archive: ArchiveReport;
  destination: NamedDestination;
  wait: Wait;
}): Promise<CopyOutcome> {
  const { plan, host, attempt, archive, destination, wait } = job;
  const { id } = plan.environment;
  return await makeCopy({ backupId: plan.backupId, destination: destination.name, wait }, async () => {
    const step = { plan, attempt, archive, destination };
    await heavy(host, wait.endsAt, `upload ${id} to ${destination.name}`, TOLD).upload(step);
    await heavy(host, wait.endsAt, `verify ${id} in ${destination.name}`, TOLD).verify(step);
  });
}

/** What the run waits for itself, so that the console shows it as waiting. */
export const TOLD = ['destination-unavailable'] as const;

/**
 * Makes one copy, and waits while its destination is away or full. Never throws for the destination's own trouble, so
 * that the others go on: the outcome says what is missing, and the catalog remembers it as a debt.
 */
export async function makeCopy(
  { backupId, destination, wait }: { backupId: string; destination: string; wait: Wait },
  work: () => Promise<void>,
): Promise<CopyOutcome> {
  try {
    await waitingForRoom(wait, work, DESTINATION_TROUBLE);
    return { destination, state: 'verified' };
  } catch (error) {
    if (isCancellation(error)) throw error;
    const reason = reasonOf(error);
    await control.recordMissingCopy({ backupId, destination, reason });
    return { destination, state: 'missing', reason };
  }
}
