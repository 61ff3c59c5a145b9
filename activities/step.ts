import { ApplicationFailure } from '@temporalio/common';
import { Context } from '@temporalio/activity';

import { CofreError, messageOf } from '../errors/error.ts';

/** Numbers that people see while a step runs; small, flat and without secrets, because they lie in the history. */
export interface StepProgress {
  readonly doing: string;
  readonly bytes?: number;
  readonly ofBytes?: number;
}

export interface Step {
  /** Aborts when the step is cancelled, when its worker shuts down, and when Temporal gave it to another attempt. */
  readonly signal: AbortSignal;
  readonly attempt: number;
  report(progress: StepProgress): void;
}

const HEARTBEAT_EVERY_MS = 1_000;
/** A tool or a defect that failed so often will fail again: then a person must look. */
const TRIES_OF_UNKNOWN_FAILURES = 5;

/**
 * Runs one step as a Temporal activity: beats with the measured progress, and gives failures the type, the hint and
 * the retry decision of their code. The beat says that the worker lives; that a tool moves is watched where it runs.
 */
export async function asStep<T>(work: (step: Step) => Promise<T>): Promise<T> {
  const context = Context.current();
  const { attempt } = context.info;
  let progress: StepProgress | undefined;
  const beat = setInterval(() => context.heartbeat(progress), HEARTBEAT_EVERY_MS);
  try {
    return await work({
      signal: context.cancellationSignal,
      attempt,
      report: (now) => {
        progress = now;
      },
    });
  } catch (error) {
    // The reason tells Temporal whether this was a cancel, a shutdown or a pause.
    if (context.cancellationSignal.aborted) throw context.cancellationSignal.reason;
    context.log.warn('the step failed', { error });
    throw toFailure(error, attempt);
  } finally {
    clearInterval(beat);
  }
}

/** One of Cofre's errors, or anything else, as a failure in Temporal's history. */
export function toFailure(error: unknown, attempt: number): ApplicationFailure {
  const known = error instanceof CofreError ? error : new CofreError('unexpected', messageOf(error), { cause: error });
  const enough = (known.code === 'unexpected' || known.code === 'tool-failed') && attempt >= TRIES_OF_UNKNOWN_FAILURES;
  return ApplicationFailure.create({
    type: known.code,
    message: known.message,
    nonRetryable: !known.retryable || enough,
    details: [known.hint === undefined ? {} : { hint: known.hint }],
    ...(error instanceof Error ? { cause: error } : {}),
  });
}
