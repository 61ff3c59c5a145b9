import { setTimeout as delay } from 'node:timers/promises';

import type { Client, WorkflowHandle } from '@temporalio/client';

import { CofreError } from '../errors/error.ts';
import { openDisplay, type Display } from './display.ts';
import { EXIT } from './exit.ts';
import { tell } from './print.ts';
import { readEnd, type RunEnd } from './run-end.ts';
import type { GlobalOptions } from './session.ts';
import { Teller } from './teller.ts';

const LOOK_EVERY_MS = 1_000;
const LOOK_FIRST_MS = 100;
const ANSWER_WITHIN_MS = 10_000;
const LOST_FOR_AT_MOST_MS = 10 * 60_000;

/**
 * Shows a run until it ends, whatever happens to the connection meanwhile. Ctrl-C ends this process and not the run,
 * with exit code 130; but with `here`, for a run that lives in this process: there Ctrl-C is for whoever started it, and aborting
 * `here` ends this with its reason.
 * @throws CofreError `temporal-unavailable` when Temporal was away for ten minutes.
 */
export async function followRun(
  client: Client,
  options: GlobalOptions,
  run: { readonly workflowId: string; readonly runId?: string | undefined },
  here?: AbortSignal,
): Promise<RunEnd> {
  const handle = client.workflow.getHandle(run.workflowId, run.runId, { followRuns: false });
  const display = openDisplay(options);
  const teller = new Teller(client, display);
  const lost = new LostConnection(run.workflowId, display);
  const stopListening = here === undefined ? leaveOnInterrupt(run.workflowId, display) : () => undefined;
  try {
    // Short runs are looked at more often, so that they are not waited for longer than they take.
    for (let waitMs = LOOK_FIRST_MS; ; waitMs = Math.min(waitMs * 1.3, LOOK_EVERY_MS)) {
      here?.throwIfAborted();
      try {
        const end = await client.withDeadline(Date.now() + ANSWER_WITHIN_MS, () => look(handle, teller, lost));
        if (end !== undefined) return end;
      } catch (error) {
        lost.bear(error);
      }
      await delay(waitMs);
    }
  } finally {
    stopListening();
    display.clear();
  }
}

async function look(handle: WorkflowHandle, teller: Teller, lost: LostConnection): Promise<RunEnd | undefined> {
  const description = await handle.describe();
  lost.over();
  if (description.status.name !== 'RUNNING') return await readEnd(handle, description);
  await teller.tell(handle, description);
  return undefined;
}

/** At once, in the middle of whatever call: nothing here needs an end of its own, the run lives in Temporal. */
function leaveOnInterrupt(workflowId: string, display: Display): () => void {
  const leave = (): void => {
    display.clear();
    tell(
      `\ncofre: the run goes on without this command\n  → cofre follow ${workflowId} attaches again, cofre cancel ${workflowId} ends it`,
    );
    process.exit(EXIT.interrupted);
  };
  process.once('SIGINT', leave);
  process.once('SIGTERM', leave);
  return () => {
    process.removeListener('SIGINT', leave);
    process.removeListener('SIGTERM', leave);
  };
}

class LostConnection {
  readonly #workflowId: string;
  readonly #display: Display;
  #since: number | undefined;

  constructor(workflowId: string, display: Display) {
    this.#workflowId = workflowId;
    this.#display = display;
  }

  /** Takes what Temporal's silence threw, for a while; throws everything else. */
  bear(error: unknown): void {
    if (!(error instanceof Error) || error.name !== 'ServiceError') throw error;
    if (this.#since === undefined) {
      this.#since = Date.now();
      this.#display.note(
        'Temporal does not answer; trying again (a run that was started goes on by itself when Temporal is back)',
      );
    }
    if (Date.now() - this.#since < LOST_FOR_AT_MOST_MS) return;
    throw new CofreError('temporal-unavailable', 'Temporal did not answer for ten minutes', {
      cause: error,
      hint: `when it is back: cofre follow ${this.#workflowId}`,
    });
  }

  over(): void {
    if (this.#since !== undefined) this.#display.note('Temporal answers again');
    this.#since = undefined;
  }
}
