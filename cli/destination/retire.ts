import type { Command } from 'commander';

import { requireKnown } from '../environment.ts';
import { EXIT } from '../exit.ts';
import { examplesAndExits } from '../help.ts';
import { confirm } from '../print.ts';
import type { GlobalOptions } from '../session.ts';

export function registerRetire(destination: Command, globals: () => GlobalOptions): void {
  destination
    .command('retire')
    .summary('give up a destination')
    .description(
      'Copies to another destination what only this one has, proves it there, and then forgets this one: its copies count no more.\n' +
        'Nothing is removed from it. No policy and no routine may name it any more; it leaves cofre.yaml afterwards.',
    )
    .argument('<old>', 'the destination to give up')
    .requiredOption('--to <new>', 'the destination that gets what only the old one has')
    .addHelpText('after', examplesAndExits(['cofre destination retire oldvolume --to bucket'], [0, 1, 2, 3, 4, 5, 130]))
    .action((old: string, { to }: { to: string }) => retire(globals(), old, to));
}

async function retire(options: GlobalOptions, destination: string, to: string): Promise<void> {
  const [{ Session }, { startAndReport }, { readApplied }, { resolveRetirement }] = await Promise.all([
    import('../session.ts'),
    import('../start-and-report.ts'),
    import('../../activities/applied.ts'),
    import('../../activities/resolve-retirement.ts'),
  ]);
  const session = await Session.open(options);
  try {
    const catalog = await session.catalog();
    const { config } = await readApplied(catalog);
    for (const name of [destination, to]) requireKnown('destination', name, Object.keys(config.destinations));
    const { environments } = await resolveRetirement(catalog, { destination, to });
    const first =
      environments.length === 0
        ? 'It has nothing that others lack.'
        : `Only it has backups of ${environments.join(', ')}; these go to ${to} first.`;
    if (!(await confirm(options, `${first} Forget every copy in ${destination} then, and remove nothing there?`))) {
      process.exitCode = EXIT.refused;
      return;
    }
    await startAndReport(await session.client(), options, {
      workflow: 'retireDestination',
      input: { destination, to },
      subject: destination,
      summary: `retires ${destination} to ${to}, by hand`,
    });
  } finally {
    await session.close();
  }
}
