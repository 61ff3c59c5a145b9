import { defaultPayloadConverter } from '@temporalio/common';
import type { WorkflowExecutionDescription } from '@temporalio/client';

import type { StepProgress } from '../activities/step.ts';
import { bytesInWords } from '../workflows/words.ts';

type PendingActivity = NonNullable<WorkflowExecutionDescription['raw']['pendingActivities']>[number];
type Timestamp = PendingActivity['scheduledTime'];

/** What a step of a run does at this moment. */
export interface StepNow {
  readonly id: string;
  /** `dump`, `upload to bucket`. */
  readonly doing: string;
  readonly attempt: number;
  readonly state: 'queued' | 'running' | 'cancelling';
  readonly queue: string | undefined;
  readonly scheduledAt: number;
  readonly bytes?: number;
  readonly ofBytes?: number;
  /** Why the attempt before this one failed. */
  readonly failure?: { readonly code: string; readonly message: string; readonly hint?: string };
  readonly nextTryAt?: number;
}

/** The steps that are under way, from what Temporal knows of their last beat. */
export function stepsOf({ raw }: WorkflowExecutionDescription): StepNow[] {
  return (raw.pendingActivities ?? []).map(stepOf);
}

// Of temporal.api.enums.v1.PendingActivityState.
const STARTED = 2;
const CANCEL_REQUESTED = 3;

function stepOf(activity: PendingActivity): StepNow {
  const progress = progressOf(activity);
  const failure = failureOf(activity);
  const nextTryAt = timeOf(activity.nextAttemptScheduleTime);
  return {
    id: activity.activityId ?? '',
    doing: progress?.doing ?? wordsOf(activity.activityType?.name ?? 'a step'),
    attempt: activity.attempt ?? 1,
    state: activity.state === CANCEL_REQUESTED ? 'cancelling' : activity.state === STARTED ? 'running' : 'queued',
    queue: activity.activityOptions?.taskQueue?.name ?? undefined,
    scheduledAt: timeOf(activity.scheduledTime) ?? Date.now(),
    ...(progress?.bytes === undefined ? {} : { bytes: progress.bytes }),
    ...(progress?.ofBytes === undefined ? {} : { ofBytes: progress.ofBytes }),
    ...(failure === undefined ? {} : { failure }),
    ...(nextTryAt === undefined ? {} : { nextTryAt }),
  };
}

function progressOf(activity: PendingActivity): StepProgress | undefined {
  const payload = activity.heartbeatDetails?.payloads?.[0];
  if (payload === undefined) return undefined;
  const value = defaultPayloadConverter.fromPayload<StepProgress | null | undefined>(payload);
  return value ?? undefined;
}

function failureOf({ lastFailure }: PendingActivity): StepNow['failure'] {
  if (lastFailure === null || lastFailure === undefined) return undefined;
  const application = lastFailure.applicationFailureInfo;
  const payload = application?.details?.payloads?.[0];
  const details =
    payload === undefined ? undefined : defaultPayloadConverter.fromPayload<{ hint?: string } | null>(payload);
  return {
    code: application?.type ?? (lastFailure.timeoutFailureInfo == null ? 'unexpected' : 'no-answer'),
    message: lastFailure.message ?? 'the worker of this step does not answer',
    ...(details?.hint === undefined ? {} : { hint: details.hint }),
  };
}

/** `compressDump` → `compress dump`. */
function wordsOf(activityType: string): string {
  return activityType.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

function timeOf(timestamp: Timestamp): number | undefined {
  if (timestamp === null || timestamp === undefined) return undefined;
  return Number(timestamp.seconds ?? 0) * 1000 + (timestamp.nanos ?? 0) / 1e6;
}

/** When a workflow task has been waiting for a worker since, if one is; and how often it failed before. */
export function waitingTask({
  raw,
}: WorkflowExecutionDescription): { since: number; attempt: number; taken: boolean } | undefined {
  const task = raw.pendingWorkflowTask;
  const since = timeOf(task?.scheduledTime);
  if (task === null || task === undefined || since === undefined) return undefined;
  return { since, attempt: task.attempt ?? 1, taken: task.startedTime !== null && task.startedTime !== undefined };
}

/** Measures how fast steps move, from one look to the next. */
export class Rates {
  readonly #first = new Map<string, { bytes: number; at: number }>();

  /** Bytes a second since this step was first seen; undefined until there is something to measure. */
  of(step: StepNow, now: number): number | undefined {
    if (step.bytes === undefined) return undefined;
    const key = `${step.id} ${step.attempt} ${step.doing}`;
    const first = this.#first.get(key);
    if (first === undefined || step.bytes < first.bytes) {
      this.#first.set(key, { bytes: step.bytes, at: now });
      return undefined;
    }
    const seconds = (now - first.at) / 1000;
    return seconds < 1 || step.bytes === first.bytes ? undefined : (step.bytes - first.bytes) / seconds;
  }
}

/** `dump 1.2 GB of about 3.4 GB (35 %), 45.0 MB/s` */
export function stepInWords(step: StepNow, bytesPerSecond: number | undefined): string {
  if (step.state === 'cancelling') return `${step.doing}: stopping`;
  let words = step.doing;
  if (step.bytes !== undefined) words += ` ${bytesInWords(step.bytes)}`;
  if (step.bytes !== undefined && step.ofBytes !== undefined && step.ofBytes > 0) {
    // The whole is an estimate, so more than all of it can be done.
    words += ` of about ${bytesInWords(step.ofBytes)} (${Math.min(99, Math.floor((step.bytes / step.ofBytes) * 100))} %)`;
  }
  if (bytesPerSecond !== undefined) words += `, ${bytesInWords(bytesPerSecond)}/s`;
  if (step.attempt > 1) words += `, attempt ${step.attempt}`;
  return words;
}
