import type { Command } from 'commander';

import { requireKnown } from './environment.ts';
import { examplesAndExits } from './help.ts';
import type { GlobalOptions } from './session.ts';

export function register(program: Command, globals: () => GlobalOptions): void {
  program
    .command('sync')
    .summary('compare the catalog with what its destinations have')
    .description(
      'Lists a destination, or every one, and compares it with the catalog: marks copies that are missing or damaged, takes in backups\n' +
        'that the catalog does not know, and tells what belongs to no backup. Removes nothing. With --repair it then makes the copies\n' +
        'that are missing from others, proves those that are not proven yet, and replaces damaged ones once another copy was read in\n' +
        'full and found whole.',
    )
    .argument('[dest]', 'only this destination')
    .option('--repair', 'make, prove or replace the copies that are not verified', false)
    .addHelpText(
      'after',
      examplesAndExits(
        ['cofre sync', 'cofre sync offsite', 'cofre sync --repair', 'cofre sync --json'],
        [0, 1, 2, 4, 5, 130],
      ),
    )
    .action((destination: string | undefined, { repair }: { repair: boolean }) => sync(globals(), destination, repair));
}

async function sync(options: GlobalOptions, destination: string | undefined, repair: boolean): Promise<void> {
  const [{ Session }, { startAndReport }, { readApplied }] = await Promise.all([
    import('./session.ts'),
    import('./start-and-report.ts'),
    import('../activities/applied.ts'),
  ]);
  const session = await Session.open(options);
  try {
    const { config } = await readApplied(await session.catalog());
    if (destination !== undefined) requireKnown('destination', destination, Object.keys(config.destinations));
    await startAndReport(await session.client(), options, {
      workflow: 'syncCatalog',
      input: { ...(destination === undefined ? {} : { destinations: [destination] }), ...(repair ? { repair } : {}) },
      subject: destination ?? 'all',
      summary: `compares the catalog with ${destination ?? 'every destination'}, by hand`,
    });
  } finally {
    await session.close();
  }
}
