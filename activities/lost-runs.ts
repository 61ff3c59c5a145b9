import { WorkflowNotFoundError, type Client } from '@temporalio/client';

import { closeLost, runningRows, type OwnedRow } from '../catalog/lost-runs.ts';
import type { FailureNote } from '../catalog/errors.ts';
import type { Catalog, Queries } from '../catalog/open.ts';
import { requireOwnNamespace } from './namespace.ts';
import { describeRun } from './run-state.ts';

/** A row of the catalog that runs, and whose run does not. */
export interface LostRow extends OwnedRow {
  readonly reason: FailureNote;
}

/**
 * What the catalog says is running and no run owns any more: it was terminated, or Temporal lost it. Asked of Temporal
 * run by run, because its lists are only eventually complete. A row is written by its run, so one whose run does
 * not exist is not one that is about to start.
 */
export async function findLost(catalog: Queries, client: Client): Promise<LostRow[]> {
  const lost: LostRow[] = [];
  for (const row of await runningRows(catalog)) {
    const ended = await whyEnded(client, row);
    if (ended !== undefined) lost.push({ ...row, reason: reasonFor(row, ended) });
  }
  return lost;
}

/**
 * Closes them, each once: one that its run has closed meanwhile stays as it is. Gives those that were closed.
 * @throws CofreError `refused` in another Temporal namespace than the installation's.
 */
export async function closeLostRows(catalog: Catalog, client: Client): Promise<LostRow[]> {
  await requireOwnNamespace(catalog, client);
  const closed: LostRow[] = [];
  for (const row of await findLost(catalog, client)) {
    if ((await closeLost(catalog, row, row.reason)) !== null) closed.push(row);
  }
  return closed;
}

/** How the run that owns a row ended; undefined while it is open. */
async function whyEnded(client: Client, { workflowId, runId }: OwnedRow): Promise<string | undefined> {
  const found = await describeRun(client, workflowId);
  if (found === undefined) return 'Temporal has lost its run';
  // After a reset the run is another one of the same chain.
  const isOurs = found.runId === runId || found.raw.workflowExecutionInfo?.firstRunId === runId;
  if (isOurs && found.status.name === 'RUNNING') return undefined;
  return isOurs && found.status.name === 'TERMINATED'
    ? 'its run was terminated'
    : 'its run has ended without closing it';
}

function reasonFor({ kind, environment }: OwnedRow, ended: string): FailureNote {
  const hint =
    kind === 'backup'
      ? `cofre backup ${environment} makes a new one`
      : `look which data ${environment} has (cofre status ${environment}), then restore again if need be`;
  return { code: 'run-lost', message: `no run owns this any more: ${ended}`, hint };
}

/**
 * Ends the lock of an environment whose holder is gone. Temporal ends it with the run that took it, but not when that run is reset:
 * then it stands for the run that goes on, unless that one is itself the `asker`, and begins before it took the lock.
 */
export async function endAbandonedLock(client: Client, environment: string, asker: string): Promise<void> {
  const lock = await describeRun(client, `op/${environment}`);
  const holder = lock?.raw.workflowExecutionInfo?.parentExecution?.workflowId;
  if (lock?.status.name !== 'RUNNING' || holder == null) return;
  if (holder !== asker && (await describeRun(client, holder))?.status.name === 'RUNNING') return;
  try {
    await client.workflow.getHandle(lock.workflowId, lock.runId).terminate('the run that took it is gone');
  } catch (error) {
    // It has ended by itself meanwhile.
    if (!(error instanceof WorkflowNotFoundError)) throw error;
  }
}
