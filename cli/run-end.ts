import type { WorkflowExecutionDescription, WorkflowHandle } from '@temporalio/client';

import { searchAttributes } from '../workflows/search-attributes.ts';
import { reasonOfRun, type RunReason } from './reason.ts';

/** How a run ended. */
export interface RunEnd {
  readonly workflowId: string;
  readonly runId: string;
  /** The workflow's name: `backupDatabase`. */
  readonly workflow: string;
  readonly environment: string | null;
  readonly backupId: string | null;
  /** What the result says (`complete`, `restored`, …), else `done`, `failed`, `cancelled` or `terminated`. */
  readonly state: string;
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly result: unknown;
  /** Why it has no result. */
  readonly reason: RunReason | undefined;
}

/** Reads the result of a run that is closed. */
export async function readEnd(handle: WorkflowHandle, description: WorkflowExecutionDescription): Promise<RunEnd> {
  let result: unknown;
  let reason: RunReason | undefined;
  if (description.status.name === 'COMPLETED') {
    result = await handle.result();
  } else {
    reason = await reasonOfClosed(handle);
  }
  const attributes = description.typedSearchAttributes;
  return {
    workflowId: description.workflowId,
    runId: description.runId,
    workflow: description.type,
    environment: attributes.get(searchAttributes.environment) ?? null,
    backupId: attributes.get(searchAttributes.backupId) ?? null,
    state: stateOf(description.status.name, result),
    startedAt: description.startTime.toISOString(),
    finishedAt: (description.closeTime ?? new Date()).toISOString(),
    result,
    reason,
  };
}

async function reasonOfClosed(handle: WorkflowHandle): Promise<RunReason> {
  try {
    await handle.result();
  } catch (error) {
    if (error instanceof Error && error.name === 'WorkflowFailedError') return reasonOfRun(error);
    throw error;
  }
  return { code: 'unexpected', message: 'the run ended without a result' };
}

function stateOf(status: string, result: unknown): string {
  if (status === 'CANCELLED' || status === 'TERMINATED') return status.toLowerCase();
  if (status !== 'COMPLETED') return 'failed';
  const state = typeof result === 'object' && result !== null && 'state' in result ? result.state : undefined;
  return typeof state === 'string' ? state : 'done';
}
