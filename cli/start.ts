import { setTimeout as delay } from 'node:timers/promises';

import { WorkflowExecutionAlreadyStartedError, type Client } from '@temporalio/client';

import type {
  BackupInput,
  CopyInput,
  EnsureInput,
  HoldInput,
  ReleaseInput,
  RestoreInput,
  RetireInput,
  RoutineInput,
  SyncInput,
  VerifyInput,
} from '../workflows/inputs.ts';
import { CONTROL_QUEUE } from '../workflows/queues.ts';
import { searchAttributes } from '../workflows/search-attributes.ts';

/** The workflows that commands start, and what they take. */
export interface Inputs {
  backupDatabase: BackupInput;
  copyBackups: CopyInput;
  verifyCopies: VerifyInput;
  ensureDatabase: EnsureInput;
  holdBackup: HoldInput;
  releaseBackup: ReleaseInput;
  planRestore: RestoreInput;
  restoreDatabase: RestoreInput;
  retireDestination: RetireInput;
  runRoutine: RoutineInput;
  syncCatalog: SyncInput;
}

/** Which run: enough to follow, cancel or find it. */
export interface RunId {
  readonly workflowId: string;
  readonly runId: string;
}

/** What to start, on what, and how it is shown. */
export interface Order<K extends keyof Inputs> {
  readonly workflow: K;
  readonly input: Inputs[K];
  /** The environment, the routine or the destination: the second part of the run's id. */
  readonly subject: string;
  /** One line for the Temporal UI. */
  readonly summary: string;
}

/** Starts a run of its own, named `<workflow>/<subject>/<UTC time>`. */
export async function startRun<K extends keyof Inputs>(client: Client, order: Order<K>): Promise<RunId> {
  for (;;) {
    const workflowId = `${order.workflow}/${order.subject}/${compactTime(new Date())}`;
    try {
      const handle = await client.workflow.start(order.workflow, { ...common(order), workflowId });
      return { workflowId, runId: handle.firstExecutionRunId };
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
      // Somebody started the same in this very second; the next one has another name.
      await delay(1_000);
    }
  }
}

/** Starts the one run `<workflow>/<subject>`, or joins it if it is running. */
export async function joinRun<K extends keyof Inputs>(client: Client, order: Order<K>): Promise<RunId> {
  const workflowId = `${order.workflow}/${order.subject}`;
  const handle = await client.workflow.start(order.workflow, {
    ...common(order),
    workflowId,
    workflowIdConflictPolicy: 'USE_EXISTING',
    workflowIdReusePolicy: 'ALLOW_DUPLICATE',
  });
  return { workflowId, runId: handle.firstExecutionRunId };
}

function common<K extends keyof Inputs>({ workflow, input, subject, summary }: Order<K>) {
  const attribute =
    workflow === 'runRoutine'
      ? { key: searchAttributes.routine, value: subject }
      : { key: searchAttributes.environment, value: subject };
  // It is about destinations, and about whatever environments they have.
  const attributes = workflow === 'syncCatalog' || workflow === 'retireDestination' ? [] : [attribute];
  return { taskQueue: CONTROL_QUEUE, args: [input], staticSummary: summary, typedSearchAttributes: attributes };
}

/** `20261120T210000Z` */
function compactTime(time: Date): string {
  return time.toISOString().replace(/[-:]|\.\d+/g, '');
}
