import type { Command } from 'commander';

import { requireKnown } from './environment.ts';
import { examplesAndExits } from './help.ts';
import type { GlobalOptions } from './session.ts';

export function register(program: Command, globals: () => GlobalOptions): void {
  program
    .command('copy')
    .summary('copy a backup to further destinations')
    .description(
      'Copies a backup from a destination that has it to others, without dumping again, reads it back there, and shows the run\n' +
        'until it ends. A damaged copy is found on the way and marked, and another one is read.',
    )
    .argument('<backup>', 'the id of a backup')
    .requiredOption('--to <dest...>', 'the destinations')
    .option('--from <dest>', 'the destination to read from first')
    .addHelpText(
      'after',
      examplesAndExits(
        [
          'cofre copy 20261120T210000Z-1f3a9c04 --to offsite',
          'cofre copy 20261120T210000Z-1f3a9c04 --from bucket --to offsite standby',
        ],
        [0, 1, 2, 3, 4, 5, 130],
      ),
    )
    .action((backup: string, { to, from }: { to: string[]; from?: string }) => copy(globals(), backup, to, from));
}

async function copy(
  options: GlobalOptions,
  backup: string,
  to: readonly string[],
  from: string | undefined,
): Promise<void> {
  const [{ Session }, { startAndReport }, { readApplied }, { getBackup }] = await Promise.all([
    import('./session.ts'),
    import('./start-and-report.ts'),
    import('../activities/applied.ts'),
    import('../catalog/backup-list.ts'),
  ]);
  const session = await Session.open(options);
  try {
    const catalog = await session.catalog();
    const { config } = await readApplied(catalog);
    for (const name of from === undefined ? to : [from, ...to])
      requireKnown('destination', name, Object.keys(config.destinations));
    const { environment } = await getBackup(catalog, backup);
    await startAndReport(await session.client(), options, {
      workflow: 'copyBackups',
      input: { environment, backup, to, ...(from === undefined ? {} : { from }) },
      subject: environment,
      summary: `copy of ${backup} to ${to.join(', ')}, by hand`,
    });
  } finally {
    await session.close();
  }
}
