import { setTimeout as sleep } from 'node:timers/promises';

import { ScheduleOverlapPolicy, type Client, type ScheduleDescription, type ScheduleHandle } from '@temporalio/client';
import type { Command } from 'commander';

import { describeRun } from '../activities/run-state.ts';
import { CofreError } from '../errors/error.ts';
import { missingRunId, runMissing } from './apply/missing.ts';
import { followRun } from './follow.ts';
import { examplesAndExits } from './help.ts';
import { reportEnd, reportStart } from './outcome.ts';
import { say } from './print.ts';
import { openRoutine } from './routine.ts';
import { Session, type GlobalOptions } from './session.ts';
import type { RunId } from './start.ts';

const STARTS_WITHIN_MS = 15_000;
const ASK_EVERY_MS = 100;

export function register(program: Command, globals: () => GlobalOptions): void {
  program
    .command('run')
    .summary('start a routine now')
    .description(
      'Starts a routine now, as its schedule would, and shows the run until it ends. A routine runs once at a time: while one\n' +
        'run is going on, that one is shown. A paused routine can be run by hand; it stays paused.',
    )
    .argument('<routine>', 'the routine')
    .option(
      '--missing',
      'only for environments that have no verified backup since the routine should have started last',
    )
    .addHelpText(
      'after',
      examplesAndExits(
        [
          'cofre run nightly',
          'cofre run nightly --no-follow',
          'cofre run nightly --missing   finish a night that was lost',
        ],
        [0, 1, 2, 4, 130],
      ),
    )
    .action(async (routine: string, { missing }: { missing?: true }) => {
      const options = globals();
      const session = await Session.open(options);
      try {
        const client = await session.client();
        const { handle, description } = await openRoutine(client, routine);
        const run =
          (await runningNow(client, routine, description)) ??
          (missing === true
            ? { ...(await runMissing(client, routine)), isNew: true }
            : await trigger(client, routine, handle, description));
        if (run.isNew)
          say(options, `started ${run.workflowId}${description.state.paused ? ' (the routine stays paused)' : ''}`);
        else
          say(
            options,
            `${routine} is running already, and runs once at a time; no second run was started: ${run.workflowId}`,
          );
        const { workflowId, runId } = run;
        if (options.follow)
          process.exitCode = reportEnd(options, await followRun(client, options, { workflowId, runId }));
        else reportStart(options, { workflowId, runId }, null);
      } finally {
        await session.close();
      }
    });
}

type RoutineRun = RunId & { readonly isNew: boolean };

/** What the schedule has started, or a run for what was missing. */
async function runningNow(
  client: Client,
  routine: string,
  { info }: ScheduleDescription,
): Promise<RoutineRun | undefined> {
  const running = info.runningActions.at(-1)?.workflow;
  if (running !== undefined)
    return { workflowId: running.workflowId, runId: running.firstExecutionRunId, isNew: false };
  const missing = await describeRun(client, missingRunId(routine));
  if (missing?.status.name !== 'RUNNING') return undefined;
  return { workflowId: missing.workflowId, runId: missing.runId, isNew: false };
}

async function trigger(
  client: Client,
  routine: string,
  handle: ScheduleHandle,
  { info }: ScheduleDescription,
): Promise<RoutineRun> {
  const known = new Set(info.recentActions.map(({ action }) => action.workflow.workflowId));
  // Unless told, a trigger starts a second run beside the first.
  await handle.trigger(ScheduleOverlapPolicy.SKIP);
  const deadline = Date.now() + STARTS_WITHIN_MS;
  while (Date.now() < deadline) {
    const now = await handle.describe();
    const started = now.info.recentActions.find(({ action }) => !known.has(action.workflow.workflowId))?.action
      .workflow;
    if (started !== undefined)
      return { workflowId: started.workflowId, runId: started.firstExecutionRunId, isNew: true };
    // Its own slot came between the look and the trigger.
    const other = await runningNow(client, routine, now);
    if (other !== undefined) return other;
    await sleep(ASK_EVERY_MS);
  }
  throw new CofreError(
    'temporal-unavailable',
    `Temporal took the order to start ${handle.scheduleId}, but no run was seen`,
    {
      hint: 'cofre runs --all lists the runs; try again when Temporal is well',
    },
  );
}
