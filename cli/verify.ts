import type { Command } from 'commander';

import { requireKnown } from './environment.ts';
import { examplesAndExits } from './help.ts';
import type { GlobalOptions } from './session.ts';

export function register(program: Command, globals: () => GlobalOptions): void {
  program
    .command('verify')
    .summary('read the copies of a backup again')
    .description(
      'Reads the copies of a backup back where they lie, as when they were made: hash, decoding, manifest. A damaged one is\n' +
        'marked, and no restore chooses it any more; one that was marked and is whole counts again. Shows the run until it ends.',
    )
    .argument('<backup>', 'the id of a backup')
    .option('--in <dest...>', 'only the copies in these destinations')
    .addHelpText(
      'after',
      examplesAndExits(
        ['cofre verify 20261120T210000Z-1f3a9c04', 'cofre verify 20261120T210000Z-1f3a9c04 --in offsite'],
        [0, 1, 2, 3, 4, 5, 130],
      ),
    )
    .action((backup: string, { in: places }: { in?: string[] }) => verify(globals(), backup, places));
}

async function verify(options: GlobalOptions, backup: string, places: readonly string[] | undefined): Promise<void> {
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
    for (const name of places ?? []) requireKnown('destination', name, Object.keys(config.destinations));
    const { environment } = await getBackup(catalog, backup);
    await startAndReport(await session.client(), options, {
      workflow: 'verifyCopies',
      input: { environment, backup, ...(places === undefined ? {} : { in: places }) },
      subject: environment,
      summary: `copies of ${backup} read again, by hand`,
    });
  } finally {
    await session.close();
  }
}
