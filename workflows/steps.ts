import { proxyActivities, type ActivityOptions } from '@temporalio/workflow';

import type { AliasActivities } from '../activities/alias.ts';
import type { BackupActivities } from '../activities/backup.ts';
import type { CatalogActivities } from '../activities/catalog-backup.ts';
import type { CopyActivities } from '../activities/copy.ts';
import type { ControlActivities } from '../activities/control.ts';
import type { HoldActivities } from '../activities/holds.ts';
import type { RestoreActivities } from '../activities/restore.ts';
import type { SyncActivities } from '../activities/sync.ts';
import type { TidyActivities } from '../activities/tidy.ts';
import type { VerifyActivities } from '../activities/verify-again.ts';
import type { ErrorCode } from '../errors/error.ts';
import { CONTROL_QUEUE, hostQueue } from './queues.ts';
import { ANSWER_WITHIN_MS, SILENT_STEP_MS, TRY_AGAIN_AFTER_MS } from './time-limits.ts';

type HostActivities = AliasActivities &
  BackupActivities &
  CatalogActivities &
  CopyActivities &
  HoldActivities &
  RestoreActivities &
  SyncActivities &
  TidyActivities &
  VerifyActivities;

const RETRY: NonNullable<ActivityOptions['retry']> = {
  initialInterval: TRY_AGAIN_AFTER_MS,
  backoffCoefficient: 2,
  maximumInterval: '5m',
};

/** Steps in the catalog: short, and tried until the catalog answers. */
export const control = proxyActivities<ControlActivities>({
  taskQueue: CONTROL_QUEUE,
  startToCloseTimeout: '1m',
  heartbeatTimeout: SILENT_STEP_MS,
  retry: RETRY,
});

/** The question whether a host is there: the only one whose waiting time in the queue means anything. */
export function probe(
  host: string,
  summary: string,
): Pick<HostActivities, 'checkHost' | 'checkBackup' | 'checkRestore' | 'tidyHost'> {
  return proxyActivities<HostActivities>({
    taskQueue: hostQueue(host, 'light'),
    scheduleToStartTimeout: ANSWER_WITHIN_MS,
    startToCloseTimeout: '5m',
    heartbeatTimeout: SILENT_STEP_MS,
    retry: { ...RETRY, maximumAttempts: 3 },
    allowEagerDispatch: false,
    summary,
  });
}

/** Short steps on a host. `endsAt` is the end of the run. Failures of the codes `told` are not tried again but told. */
export function light(host: string, endsAt: Date, summary: string, told: readonly ErrorCode[] = []): HostActivities {
  return hostSteps(host, 'light', endsAt, summary, told);
}

/** Long steps on a host, with `told` as for the short ones: they may wait in the queue for as long as the host is busy. */
export function heavy(host: string, endsAt: Date, summary: string, told: readonly ErrorCode[] = []): HostActivities {
  return hostSteps(host, 'heavy', endsAt, summary, told);
}

function hostSteps(
  host: string,
  weight: 'heavy' | 'light',
  endsAt: Date,
  summary: string,
  told: readonly ErrorCode[] = [],
): HostActivities {
  return proxyActivities<HostActivities>({
    taskQueue: hostQueue(host, weight),
    scheduleToCloseTimeout: Math.max(endsAt.getTime() - Date.now(), 60_000),
    heartbeatTimeout: SILENT_STEP_MS,
    retry: { ...RETRY, nonRetryableErrorTypes: [...told] },
    cancellationType: 'WAIT_CANCELLATION_COMPLETED',
    allowEagerDispatch: false,
    summary,
  });
}

/** Until when a step is tried that only looks, or only clears up after a run. */
export function soon(): Date {
  return new Date(Date.now() + 10 * 60_000);
}
