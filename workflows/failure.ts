import {
  ActivityFailure,
  ApplicationFailure,
  CancelledFailure,
  ChildWorkflowFailure,
  TimeoutFailure,
  isCancellation,
} from '@temporalio/workflow';

/** A failure as the catalog, the command line and the run's page show it. */
export interface Reason {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
}

export const CANCELLED = 'the run was cancelled';

/** The reason inside whatever a step threw: Temporal wraps it, once for each activity and child. */
export function reasonOf(error: unknown): Reason {
  if (isCancellation(error)) return { code: 'cancelled', message: CANCELLED };
  if (error instanceof ActivityFailure || error instanceof ChildWorkflowFailure) {
    return error.cause === undefined ? { code: 'unexpected', message: error.message } : reasonOf(error.cause);
  }
  if (error instanceof TimeoutFailure) return reasonOfTimeout(error);
  if (error instanceof ApplicationFailure) {
    const [details] = (error.details ?? []) as [{ hint?: string }?];
    return {
      code: error.type ?? 'unexpected',
      message: error.message,
      ...(details?.hint === undefined ? {} : { hint: details.hint }),
    };
  }
  if (error instanceof CancelledFailure) return { code: 'cancelled', message: error.message };
  return { code: 'unexpected', message: error instanceof Error ? error.message : String(error) };
}

function reasonOfTimeout(error: TimeoutFailure): Reason {
  if (error.timeoutType === 'SCHEDULE_TO_START') {
    return {
      code: 'host-unavailable',
      message: 'no worker of this host answered',
      hint: 'start `cofre worker` on the host, or look at why it does not run',
    };
  }
  if (error.timeoutType === 'HEARTBEAT') {
    return {
      code: 'host-unavailable',
      message: 'a worker stopped in the middle of this step, again and again',
      hint: "look into the worker's log why it stops",
    };
  }
  // The reason of the last attempt says more than that the time is over.
  const last = error.cause === undefined ? undefined : reasonOf(error.cause);
  const timedOut =
    error.timeoutType === 'START_TO_CLOSE'
      ? 'a step took longer than its time limit'
      : 'a step did not end before the run had to close';
  return {
    code: last?.code ?? 'host-unavailable',
    message: last === undefined ? timedOut : `${last.message} (until the run had to close)`,
    ...(last?.hint === undefined ? {} : { hint: last.hint }),
  };
}

/**
 * Closes what the catalog has of a run that gives up. It may be closed already, when the run was reset after its end or was taken for
 * lost: then that stands, and the run still cleans up after itself.
 */
export async function unlessClosed(close: () => Promise<unknown>): Promise<void> {
  try {
    await close();
  } catch (error) {
    if (reasonOf(error).code !== 'refused') throw error;
  }
}

/** What the run ends with: the code as type, so that lists and scripts can tell failures apart. */
export function failRun(reason: Reason, details: Readonly<Record<string, unknown>> = {}): ApplicationFailure {
  return ApplicationFailure.create({
    type: reason.code,
    message: reason.message,
    nonRetryable: true,
    details: [{ ...(reason.hint === undefined ? {} : { hint: reason.hint }), ...details }],
  });
}
