import type { Command } from 'commander';

import { CofreError } from '../errors/error.ts';
import { EXIT } from './exit.ts';
import { examplesAndExits } from './help.ts';
import { confirm, printJson, say } from './print.ts';
import type { GlobalOptions } from './session.ts';

const EFFECTS: Readonly<Record<string, string>> = {
  backupDatabase: 'stops the tools and removes the local files; copies that are verified already stay',
  verifyCopies: 'stops reading; what was found until then stands',
  retireDestination: 'stops copying; what was copied stays, and the destination is not forgotten',
  syncCatalog: 'stops the comparison or the repair; what was marked or repaired stays so',
  copyBackups: 'stops the copy that is under way, which stays missing; copies that are verified already stay',
  restoreDatabase:
    'stops the tools and removes what was loaded; the live database stays as it is (unless the names were swapped already)',
  ensureDatabase:
    'stops the tools and removes what was loaded; the database goes on missing, and the next caller of ensure starts again',
  runRoutine: 'cancels what this routine has under way and starts no more; what is finished stays',
  dropOldDatabase: 'keeps the replaced database for good; drop it by hand when it is not needed any more',
  planRestore: 'stops the planning; nothing was changed',
};

export function register(program: Command, globals: () => GlobalOptions): void {
  program
    .command('cancel')
    .summary('end a run cleanly')
    .description(
      'Ends a run cleanly: its tools are stopped and what it left behind is removed. Says what that means, asks, and waits until the run has ended.',
    )
    .argument('<run>', 'the workflow id, as cofre runs lists it')
    .addHelpText(
      'after',
      examplesAndExits(
        [
          'cofre cancel backupDatabase/acme-prod/20261120T210000Z',
          'cofre cancel runRoutine/nightly/20261120T210000Z --yes',
        ],
        [0, 1, 2, 3, 4, 130],
      ),
    )
    .action((workflowId: string) => cancel(globals(), workflowId));
}

async function cancel(options: GlobalOptions, workflowId: string): Promise<void> {
  const [{ Session }, { followRun }] = await Promise.all([import('./session.ts'), import('./follow.ts')]);
  const session = await Session.open(options);
  try {
    const client = await session.client();
    const { type, runId, status } = await client.workflow.getHandle(workflowId).describe();
    if (type === 'holdEnvironment') {
      throw new CofreError('refused', `${workflowId} is the lock of a run; it goes when that run ends`, {
        hint: 'cofre runs lists the runs; cancel the run itself',
      });
    }
    if (status.name === 'RUNNING') {
      say(options, `cancelling ${workflowId} ${EFFECTS[type] ?? 'asks it to end'}`);
      if (!(await confirm(options, 'cancel it?'))) {
        say(options, 'nothing was done; the run goes on');
        process.exitCode = EXIT.refused;
        return;
      }
      await client.workflow.getHandle(workflowId, runId).cancel();
      if (!options.follow) {
        say(options, `asked to cancel; cofre follow ${workflowId} shows it`);
        return;
      }
    }
    const { state, environment, startedAt, finishedAt, reason } = await followRun(client, options, {
      workflowId,
      runId,
    });
    const ended =
      state === 'cancelled'
        ? 'cancelled'
        : `it had ended already: ${state}${reason === undefined ? '' : ` (${reason.message})`}`;
    say(options, `${workflowId}: ${ended}`);
    if (options.json) printJson({ workflowId, runId, state, environment, startedAt, finishedAt });
  } finally {
    await session.close();
  }
}
