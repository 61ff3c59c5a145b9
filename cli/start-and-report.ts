import type { Client } from '@temporalio/client';

import { followRun } from './follow.ts';
import { reportEnd, reportStart } from './outcome.ts';
import { say } from './print.ts';
import type { GlobalOptions } from './session.ts';
import { startRun, type Inputs, type Order } from './start.ts';

/** Starts a run, follows it to its end (unless told not to), prints how it ended, and sets the exit code. */
export async function startAndReport<K extends keyof Inputs>(
  client: Client,
  options: GlobalOptions,
  order: Order<K>,
): Promise<void> {
  const run = await startRun(client, order);
  if (!options.follow) {
    reportStart(options, run, order.subject);
    return;
  }
  say(options, `started ${run.workflowId}`);
  process.exitCode = reportEnd(options, await followRun(client, options, run));
}
