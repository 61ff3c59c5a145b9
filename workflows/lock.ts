import {
  CancellationScope,
  ParentClosePolicy,
  condition,
  defineSignal,
  getExternalWorkflowHandle,
  setCurrentDetails,
  setHandler,
  sleep,
  startChild,
  workflowInfo,
  type ChildWorkflowHandle,
} from '@temporalio/workflow';
import { ApplicationFailure, WorkflowExecutionAlreadyStartedError } from '@temporalio/common';

import { pageText, runLink } from './page.ts';
import { showPhase } from './phase.ts';
import { control } from './steps.ts';
import { timeInWords } from './words.ts';

export const release = defineSignal('release');

/**
 * The lock of an environment: a child whose workflow id `op/<environment>` can exist only once. Whatever ends the run
 * that holds it (done, failed, cancelled, terminated, timed out) ends this child too, so no lock is ever left behind.
 */
export async function holdEnvironment(input: { environment: string; holder: string }): Promise<void> {
  let released = false;
  setHandler(
    release,
    () => {
      released = true;
    },
    {
      description:
        'Sent by the run that holds the environment, when it is done with it. Never send it by hand: the run would end as failed.',
    },
  );
  setCurrentDetails(
    pageText({
      title: `**Lock of ${input.environment}**`,
      state: `**Held** by the run ${runLink(input.holder)}, which works on its database. It goes when that run is done with it.`,
      next: 'none. To free the environment, cancel that run; to cancel this lock makes that run fail.',
    }),
  );
  await condition(() => released);
}

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 60_000;

/**
 * Does `work` while nothing else works on the environment's data. Waits for its turn, visibly, until `endsAt`;
 * `work` is told whether it had to, because what was found out before may be old by then.
 * @throws ApplicationFailure `busy` when the turn did not come by then.
 */
export async function alone<T>(
  environment: string,
  endsAt: Date,
  work: (hadToWait: boolean) => Promise<T>,
): Promise<T> {
  const { lock, hadToWait } = await acquire(environment, endsAt);
  const scope = new CancellationScope();
  let done = false;
  let endedFromOutside = false;
  const onEnd = (): void => {
    if (done) return;
    endedFromOutside = true;
    scope.cancel();
  };
  lock.result().then(onEnd, onEnd);
  try {
    return await scope.run(() => work(hadToWait));
  } catch (error) {
    if (!endedFromOutside) throw error;
    throw ApplicationFailure.nonRetryable(`op/${environment}, the lock of this run, was ended from outside`, 'busy');
  } finally {
    done = true;
    // Not in the cancelled scope: the lock goes only after the cancelled step has ended and cleaned up. Nothing waits for
    // its end, which takes as long as a step: if it cannot be told, it ends with this run.
    if (!endedFromOutside) CancellationScope.nonCancellable(() => letGo(lock)).catch(() => undefined);
  }
}

/**
 * When an operator reset this run while it held the lock, that still stands, and Temporal counts it as a child of the run that was
 * reset: as a child it cannot be signalled any more, and it would not end with this run.
 */
async function letGo(lock: ChildWorkflowHandle<typeof holdEnvironment>): Promise<void> {
  try {
    await lock.signal(release);
  } catch {
    await getExternalWorkflowHandle(lock.workflowId, lock.firstExecutionRunId).signal(release);
  }
}

async function acquire(
  environment: string,
  endsAt: Date,
): Promise<{ lock: ChildWorkflowHandle<typeof holdEnvironment>; hadToWait: boolean }> {
  const workflowId = `op/${environment}`;
  for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)) {
    try {
      const lock = await CancellationScope.nonCancellable(() =>
        startChild(holdEnvironment, {
          workflowId,
          args: [{ environment, holder: workflowInfo().workflowId }],
          parentClosePolicy: ParentClosePolicy.TERMINATE,
          staticSummary: `holds ${environment}`,
        }),
      );
      return { lock, hadToWait: waitMs > FIRST_WAIT_MS };
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    }
    await control.endAbandonedLock({ environment, asker: workflowInfo().workflowId });
    if (Date.now() >= endsAt.getTime()) {
      throw ApplicationFailure.nonRetryable(`another run held ${workflowId} until the end of this run`, 'busy');
    }
    const page = {
      title: `**Work on ${environment}**`,
      state: `**Waits for its turn:** another run works on this environment; ${runLink(workflowId)} tells which.`,
      next: `none for you. It goes on by itself when that run is done, and gives up at ${timeInWords(endsAt.toISOString())}.`,
    };
    showPhase('waiting', page, 'resource');
    await sleep(waitMs, { summary: `waits for ${workflowId}` });
  }
}
