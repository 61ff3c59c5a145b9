import { isCancellation } from '@temporalio/workflow';

import type { ArchiveReport } from '../activities/reports.ts';
import type { BackupPlan, NamedDestination } from '../activities/plans.ts';
import { reasonOf, type Reason } from './failure.ts';
import { control, heavy } from './steps.ts';
import { waitingForRoom, type Wait } from './waits.ts';

export interface CopyOutcome {
  readonly destination: string;
  readonly state: 'verified' | 'missing';
  readonly reason?: Reason;
}

/**
 * Brings one copy to one destination and proves it there. Never throws for the destination's own trouble, so that the
 * others go on: the outcome says what is missing, and the catalog remembers it as a debt.
 */
export async function copyTo(job: {
  plan: BackupPlan;
  host: string;
  attempt: string;
  archive: ArchiveReport;
  destination: NamedDestination;
  wait: Wait;
}): Promise<CopyOutcome> {
  const { plan, host, attempt, archive, destination, wait } = job;
  const { endsAt } = wait;
  const { id } = plan.environment;
  try {
    await waitingForRoom(wait, async () => {
      await heavy(host, endsAt, `upload ${id} to ${destination.name}`).upload({ plan, attempt, archive, destination });
      await heavy(host, endsAt, `verify ${id} in ${destination.name}`).verify({ plan, attempt, archive, destination });
    });
    return { destination: destination.name, state: 'verified' };
  } catch (error) {
    if (isCancellation(error)) throw error;
    const reason = reasonOf(error);
    await control.recordMissingCopy({ backupId: plan.backupId, destination: destination.name, reason });
    return { destination: destination.name, state: 'missing', reason };
  }
}
