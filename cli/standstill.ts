import type { Client, WorkflowExecutionDescription } from '@temporalio/client';

import { CONTROL_QUEUE, hostQueue } from '../workflows/queues.ts';
import { waitingTask, type StepNow } from './progress.ts';

const SOON_MS = 1_500;
const SURELY_MS = 12_000;
/** A worker asks again at least once a minute; one that was killed stays listed for minutes. */
const POLLED_WITHIN_MS = 75_000;
const FAILED_TASKS = 3;

// Of temporal.api.enums.v1.TaskQueueType.
const QUEUE_TYPE = { workflow: 1, activity: 2 } as const;

/** Why a run does not move because nobody takes its work, with what to do; undefined while somebody does. */
export async function standstillOf(
  client: Client,
  description: WorkflowExecutionDescription,
  steps: readonly StepNow[],
): Promise<string | undefined> {
  const now = Date.now();
  const task = waitingTask(description);
  if (task !== undefined && task.attempt >= FAILED_TASKS) {
    return `the worker fails on this run (attempt ${task.attempt}): look at the worker's log and at the run in the Temporal UI`;
  }
  if (task !== undefined && !task.taken && now - task.since > SOON_MS) {
    // For its first seconds a task waits for the worker that had the run before, so a pause says little.
    if (now - task.since > SURELY_MS || !(await isPolled(client, CONTROL_QUEUE, 'workflow'))) {
      return 'no worker is running: start cofre worker';
    }
  }
  for (const { state, attempt, scheduledAt, queue, doing } of steps) {
    if (state !== 'queued' || attempt > 1 || queue === undefined || now - scheduledAt < SOON_MS) continue;
    const host = /^host\.(.+)\.(?:heavy|light)$/.exec(queue)?.[1];
    if (host === undefined) {
      if (!(await isPolled(client, queue, 'activity'))) return 'no worker is running: start cofre worker';
      continue;
    }
    if (!(await isHostWorking(client, host)))
      return `no worker of ${host} is running: start cofre worker --host ${host}`;
    if (queue.endsWith('.heavy')) return `${doing} waits for its turn: ${host} is busy with other runs`;
  }
  return undefined;
}

/** Whether a worker of a host is there. One that has as much heavy work as it takes does not ask for more of it, for hours. */
export async function isHostWorking(client: Client, host: string): Promise<boolean> {
  return (
    (await isPolled(client, hostQueue(host, 'light'), 'activity')) ||
    (await isPolled(client, hostQueue(host, 'heavy'), 'activity'))
  );
}

/** Whether a worker asked this queue for work lately. */
export async function isPolled(client: Client, queue: string, type: keyof typeof QUEUE_TYPE): Promise<boolean> {
  return (await polledAtMs(client, queue, type)) > Date.now() - POLLED_WITHIN_MS;
}

/** When a worker last asked this queue for work, in milliseconds since the epoch; 0 if that is long ago. */
export async function polledAtMs(client: Client, queue: string, type: keyof typeof QUEUE_TYPE): Promise<number> {
  const { pollers } = await client.workflowService.describeTaskQueue({
    namespace: client.options.namespace,
    taskQueue: { name: queue },
    taskQueueType: QUEUE_TYPE[type],
  });
  const times = (pollers ?? []).map(
    ({ lastAccessTime: at }) => Number(at?.seconds ?? 0) * 1000 + Number(at?.nanos ?? 0) / 1e6,
  );
  return Math.max(0, ...times);
}
