import {
  ActivityFailure,
  ApplicationFailure,
  CancelledFailure,
  ChildWorkflowFailure,
  TerminatedFailure,
  TimeoutFailure,
} from '@temporalio/common';

import { messageOf } from '../errors/error.ts';

/** Why a run failed: a code of Cofre's or Temporal's, a sentence, and the next step. */
export interface RunReason {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
  /** Of `ensureDatabase`: until then callers get this reason instead of a new run. */
  readonly retryNotBefore?: string;
}

/** The reason inside what Temporal's client throws for a run: it is wrapped once for each activity and child. */
export function reasonOfRun(error: unknown): RunReason {
  if (error instanceof CancelledFailure) return { code: 'cancelled', message: 'the run was cancelled' };
  if (error instanceof TerminatedFailure) {
    return {
      code: 'terminated',
      message: 'the run was terminated from outside',
      hint: 'what it left behind is removed by the next run; to end a run and clean up use cofre cancel',
    };
  }
  if (error instanceof ApplicationFailure) {
    const { hint, retryNotBefore } = firstDetail(error);
    return {
      code: error.type ?? 'unexpected',
      message: error.message,
      ...(typeof hint === 'string' && hint !== '' ? { hint } : {}),
      ...(typeof retryNotBefore === 'string' ? { retryNotBefore } : {}),
    };
  }
  const wrapped = error instanceof Error ? error.cause : undefined;
  if (wrapped instanceof Error) return reasonOfRun(wrapped);
  if (error instanceof TimeoutFailure || error instanceof ActivityFailure || error instanceof ChildWorkflowFailure) {
    return {
      code: 'unexpected',
      message: `the run ended without a result: ${error.message}`,
      hint: 'the run in the Temporal UI shows the step',
    };
  }
  return { code: 'unexpected', message: messageOf(error) };
}

function firstDetail(error: ApplicationFailure): Record<string, unknown> {
  const detail: unknown = error.details?.[0];
  return typeof detail === 'object' && detail !== null ? { ...detail } : {};
}
