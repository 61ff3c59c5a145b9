import { ApplicationFailure } from '@temporalio/common';
import { Context } from '@temporalio/activity';

import { CofreError, messageOf } from '../errors/error.ts';
import { KILLED_HINT } from '../processes/tool.ts';
import { cut } from './told.ts';

/** Numbers that people see while a step runs; small, flat and without secrets, because they lie in the history. */
export interface StepProgress {
  readonly doing: string;
  readonly bytes?: number;
  readonly ofBytes?: number;
}

/** What a step beats with; Temporal gives the last one to the next attempt. */
interface Beat extends Partial<StepProgress> {
  /** How many attempts have failed and said why. */
  readonly failures?: number;
}

export interface Step {
  /** Aborts when the step is cancelled, when its worker shuts down, and when Temporal gave it to another attempt. */
  readonly signal: AbortSignal;
  readonly attempt: number;
  /** How many processes it may use of `jobs`: half as many after each kill of its worker or a tool, mostly for want of memory. */
  atOnce(jobs: number): number;
  report(progress: StepProgress): void;
}

const HEARTBEAT_EVERY_MS = 1_000;
/** A tool or a defect that failed so often will fail again: then a person must look. */
const TRIES_OF_UNKNOWN_FAILURES = 5;
/** By then a step has long been down to one process; the memory that it needs is not there. */
const KILLS_UNTIL_FAILURE = 5;
/** Of a failure in the history: its message, its hint, and each of its causes. */
const TEXT_LENGTH = 4_000;
const CAUSES = 4;

/**
 * Runs one step as a Temporal activity: beats with the measured progress, and gives failures the type, the hint and
 * the retry decision of their code. The beat says that the worker lives; that a tool moves is watched where it runs.
 */
export async function asStep<T>(work: (step: Step) => Promise<T>): Promise<T> {
  const context = Context.current();
  const { attempt } = context.info;
  const { failures = 0 } = (context.info.heartbeatDetails ?? {}) as Beat;
  // Attempts that ended without a word; a restart of the worker counts as one.
  const kills = Math.max(attempt - 1 - failures, 0);
  let progress: StepProgress | undefined;
  const beat = (failed: number): void =>
    context.heartbeat({ ...progress, ...(failed === 0 ? {} : { failures: failed }) } satisfies Beat);
  beat(failures);
  const beating = setInterval(() => beat(failures), HEARTBEAT_EVERY_MS);
  try {
    if (kills >= KILLS_UNTIL_FAILURE) throw killedTooOften(kills);
    return await work({
      signal: context.cancellationSignal,
      attempt,
      atOnce: (jobs) => Math.max(1, Math.floor(jobs / 2 ** kills)),
      report: (now) => {
        progress = now;
      },
    });
  } catch (error) {
    if (!(error instanceof CofreError && error.code === 'killed')) beat(failures + 1);
    // The reason tells Temporal whether this was a cancel, a shutdown or a pause.
    if (context.cancellationSignal.aborted) throw context.cancellationSignal.reason;
    context.log.warn('the step failed', { error });
    const again = kills + 1 < KILLS_UNTIL_FAILURE;
    throw toFailure(error, attempt, again);
  } finally {
    clearInterval(beating);
  }
}

function killedTooOften(kills: number): CofreError {
  const message = `this step lost its worker or a tool ${kills} times in its middle: killed, frozen or cut off from Temporal`;
  return new CofreError('killed', message, { hint: KILLED_HINT });
}

/**
 * One of Cofre's errors, or anything else, as a failure in Temporal's history. `mayBeKilled`: whether it is tried again
 * after it was killed once more.
 */
export function toFailure(error: unknown, attempt: number, mayBeKilled: boolean): ApplicationFailure {
  const known = error instanceof CofreError ? error : new CofreError('unexpected', messageOf(error), { cause: error });
  const enough =
    known.code === 'killed'
      ? !mayBeKilled
      : (known.code === 'unexpected' || known.code === 'tool-failed') && attempt >= TRIES_OF_UNKNOWN_FAILURES;
  const failure = ApplicationFailure.create({
    type: known.code,
    message: cut(known.message, TEXT_LENGTH),
    nonRetryable: !known.retryable || enough,
    details: [known.hint === undefined ? {} : { hint: cut(known.hint, TEXT_LENGTH) }],
    ...(error instanceof Error ? { cause: shortened(error) } : {}),
  });
  failure.stack = '';
  return failure;
}

/**
 * The same error with its causes, short enough for the history: a server may say megabytes, and a failure that is too
 * large for Temporal would be lost with its code.
 */
function shortened(error: Error, causes = CAUSES): Error {
  const { name, message, stack, cause } = error;
  const deeper = cause instanceof Error && causes > 0 ? { cause: shortened(cause, causes - 1) } : undefined;
  const short = Object.assign(new Error(cut(message, TEXT_LENGTH), deeper), { name });
  // Of a step that is tried again Temporal shows no failure larger than 4 KB, not even its code: the log has the stacks.
  short.stack = error instanceof CofreError ? '' : cut(stack ?? '', TEXT_LENGTH);
  return short;
}
