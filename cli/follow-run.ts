import type { Command } from 'commander';

import { examplesAndExits } from './help.ts';
import type { GlobalOptions } from './session.ts';

export function register(program: Command, globals: () => GlobalOptions): void {
  program
    .command('follow')
    .summary('show a run until it ends')
    .description('Shows a run until it ends, with the exit code that the command which started it would have had.')
    .argument('<run>', 'the workflow id, as cofre runs lists it')
    .addHelpText(
      'after',
      examplesAndExits(
        ['cofre follow backupDatabase/acme-prod/20261120T210000Z', 'cofre follow ensureDatabase/acme-prod --json'],
        [0, 1, 2, 3, 4, 5, 130],
      ),
    )
    .action((workflowId: string) => follow(globals(), workflowId));
}

async function follow(options: GlobalOptions, workflowId: string): Promise<void> {
  const [{ Session }, { followRun }, { reportEnd }] = await Promise.all([
    import('./session.ts'),
    import('./follow.ts'),
    import('./outcome.ts'),
  ]);
  const session = await Session.open(options);
  try {
    const client = await session.client();
    process.exitCode = reportEnd(options, await followRun(client, options, { workflowId }));
  } finally {
    await session.close();
  }
}
