import { randomUUID } from 'node:crypto';

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
  /** How many attempts lost their worker or a tool. */
  readonly kills: number;
  /** The process in which the attempt runs; none once it has failed and said why. */
  readonly worker?: string;
}

/** Of this process, among all of all hosts. */
const WORKER = randomUUID().slice(0, 8);

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
  const before = (context.info.heartbeatDetails ?? { kills: 0 }) as Beat;
  // The last one ended with its process and without a word. One of this process was not killed: Temporal was away.
  const isKilled = before.worker !== undefined && before.worker !== WORKER;
  const kills = before.kills + (isKilled ? 1 : 0);
  let progress: StepProgress | undefined;
  const beat = (): void => context.heartbeat({ ...progress, kills, worker: WORKER } satisfies Beat);
  beat();
  const beating = setInterval(beat, HEARTBEAT_EVERY_MS);
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
    const isKill = error instanceof CofreError && error.code === 'killed';
    context.heartbeat({ ...progress, kills: isKill ? kills + 1 : kills } satisfies Beat);
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
  const message = `this step lost its worker or a tool ${kills} times in its middle`;
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
