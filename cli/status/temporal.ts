import type { Client, WorkflowExecutionInfo } from '@temporalio/client';

import { CONTROL_QUEUE } from '../../workflows/queues.ts';
import { searchAttributes } from '../../workflows/search-attributes.ts';
import { describeRoutine, managedRoutines } from '../apply/schedules.ts';
import { MAIN_RUNS } from '../main-runs.ts';
import { isHostWorking, isPolled } from '../standstill.ts';

export interface RunningRun {
  readonly workflowId: string;
  readonly workflow: string;
  readonly environment: string | null;
  readonly phase: string | null;
  /** What it waits for: `nothing` but its own work, `approval`, `operator`, `resource`. */
  readonly needs: string | null;
  readonly startedAt: string;
}

export interface RoutineStatus {
  readonly routine: string;
  readonly nextStart: string | null;
  readonly timezone: string;
  /** The reason; null while it is not paused. */
  readonly paused: string | null;
  readonly running: boolean;
  /** Starts that were not made, since the schedule exists: Temporal was down for too long, or the run before still went on. */
  readonly missed: number;
  readonly skipped: number;
}

export interface QueueStatus {
  /** A host, or null for the workflows. */
  readonly host: string | null;
  readonly working: boolean;
}

const MOST_RUNS = 200;

export async function runningRuns(client: Client, environment: string | undefined): Promise<RunningRun[]> {
  const runs: RunningRun[] = [];
  const types = MAIN_RUNS.map((type) => `'${type}'`).join(', ');
  const query = `ExecutionStatus = 'Running' AND WorkflowType IN (${types})`;
  const only = environment === undefined ? '' : ` AND CofreEnvironment = '${environment}'`;
  for await (const info of client.workflow.list({ query: query + only })) {
    if (runs.length === MOST_RUNS) break;
    runs.push(toRun(info));
  }
  return runs;
}

function toRun(info: WorkflowExecutionInfo): RunningRun {
  const attributes = info.typedSearchAttributes;
  return {
    workflowId: info.workflowId,
    workflow: info.type,
    environment: attributes.get(searchAttributes.environment) ?? null,
    phase: attributes.get(searchAttributes.phase) ?? null,
    needs: attributes.get(searchAttributes.needs) ?? null,
    startedAt: info.startTime.toISOString(),
  };
}

/** The routines of the configuration, and those whose schedules stayed behind. */
export async function routineStatus(client: Client, configured: readonly string[]): Promise<RoutineStatus[]> {
  const names = [...new Set([...configured, ...(await managedRoutines(client))])];
  const all: RoutineStatus[] = [];
  for (const routine of names) {
    const found = await describeRoutine(client, routine);
    const { paused = false, note } = found?.state ?? {};
    all.push({
      routine,
      nextStart: paused ? null : (found?.info.nextActionTimes[0]?.toISOString() ?? null),
      timezone: found?.spec.timezone ?? 'UTC',
      paused: paused ? (note ?? 'no reason given') : null,
      running: (found?.info.runningActions.length ?? 0) > 0,
      missed: found?.info.numActionsMissedCatchupWindow ?? 0,
      skipped: found?.info.numActionsSkippedOverlap ?? 0,
    });
  }
  return all;
}

/** Whether a worker takes the workflows, and the steps of each host. */
export async function queueStatus(client: Client, hosts: readonly string[]): Promise<QueueStatus[]> {
  const control =
    (await isPolled(client, CONTROL_QUEUE, 'workflow')) && (await isPolled(client, CONTROL_QUEUE, 'activity'));
  const all: QueueStatus[] = [{ host: null, working: control }];
  for (const host of hosts) {
    all.push({ host, working: await isHostWorking(client, host) });
  }
  return all;
}
