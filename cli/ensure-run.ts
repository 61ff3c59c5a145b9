import type { Client } from '@temporalio/client';

import type { TemporalConfig } from '../config/schema.ts';
import type { EnsureInput } from '../workflows/inputs.ts';
import { followRun } from './follow.ts';
import { reportEnd, reportStart } from './outcome.ts';
import { printText, say } from './print.ts';
import { readEnd, type RunEnd } from './run-end.ts';
import type { GlobalOptions } from './session.ts';
import { joinRun } from './start.ts';
import { connectTemporal } from './temporal.ts';

/** Joins or starts the one run that ensures this environment, unless its last failure is too young to try again. */
export async function ensureByRun(options: GlobalOptions, config: TemporalConfig, input: EnsureInput): Promise<void> {
  const temporal = await connectTemporal(config);
  try {
    process.exitCode = await ensureWith(temporal.client, options, input);
  } finally {
    await temporal.close();
  }
}

async function ensureWith(client: Client, options: GlobalOptions, input: EnsureInput): Promise<number> {
  const { environment } = input;
  const last = await lastRun(client, `ensureDatabase/${environment}`);
  const retryNotBefore = last?.end?.reason?.retryNotBefore;
  const willing = input.createEmpty === true && last?.end?.reason?.code === 'no-backup';
  if (last?.end !== undefined && retryNotBefore !== undefined && Date.parse(retryNotBefore) > Date.now() && !willing) {
    say(options, `the last try failed at ${last.end.finishedAt}; the next one is made from ${retryNotBefore} on`);
    return reportEnd(options, last.end);
  }

  const order = {
    workflow: 'ensureDatabase',
    input,
    subject: environment,
    summary: `ensures that ${environment} has its database`,
  } as const;
  const run = await joinRun(client, order);
  if (!options.follow) {
    reportStart(options, run, environment);
    return 0;
  }
  let end = await followRun(client, options, run);
  if (input.createEmpty === true && last?.running === true && end.reason?.code === 'no-backup') {
    // The run that was joined had not been asked to make an empty database.
    end = await followRun(client, options, await joinRun(client, order));
  }
  if (end.reason === undefined && !options.json) printText(end.state);
  return reportEnd(options, end);
}

async function lastRun(client: Client, workflowId: string): Promise<{ running: boolean; end?: RunEnd } | undefined> {
  const handle = client.workflow.getHandle(workflowId);
  try {
    const description = await handle.describe();
    if (description.status.name === 'RUNNING') return { running: true };
    // Pinned: another caller may start the next one meanwhile.
    const pinned = client.workflow.getHandle(workflowId, description.runId);
    return { running: false, end: await readEnd(pinned, description) };
  } catch (error) {
    if (error instanceof Error && error.name === 'WorkflowNotFoundError') return undefined;
    throw error;
  }
}
