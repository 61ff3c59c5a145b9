import { hostname, userInfo } from 'node:os';

import type { Command } from 'commander';

import { examplesAndExits } from './help.ts';
import type { GlobalOptions } from './session.ts';

export function register(program: Command, globals: () => GlobalOptions): void {
  program
    .command('release')
    .summary('end the hold of a backup')
    .description(
      'Removes hold.json beside every copy of a backup, and then takes the hold from it. Where a destination is away it stays held, and\n' +
        'the same command again goes on. Who held and who released it, and when, stays in the catalog.',
    )
    .argument('<backup>', 'the id of a backup')
    .addHelpText('after', examplesAndExits(['cofre release 20261120T210000Z-1f3a9c04'], [0, 1, 2, 3, 4, 5, 130]))
    .action((backup: string) => release(globals(), backup));
}

async function release(options: GlobalOptions, id: string): Promise<void> {
  const [
    { Session },
    { startAndReport },
    { getBackup },
    { liveHold },
    { holdRows },
    { confirm, say, table },
    { EXIT },
  ] = await Promise.all([
    import('./session.ts'),
    import('./start-and-report.ts'),
    import('../catalog/backup-list.ts'),
    import('../catalog/holds.ts'),
    import('./hold/words.ts'),
    import('./print.ts'),
    import('./exit.ts'),
  ]);
  const session = await Session.open(options);
  try {
    const catalog = await session.catalog();
    const { environment } = await getBackup(catalog, id);
    const stands = await liveHold(catalog, id);
    const rows = stands === undefined ? [['held', 'no; what a released hold has left is removed']] : holdRows(stands);
    say(options, table([['backup', id], ['environment', environment], ...rows]));
    if (!(await confirm(options, 'Release it, so that retention may delete it?'))) {
      process.exitCode = EXIT.refused;
      return;
    }
    await startAndReport(await session.client(), options, {
      workflow: 'releaseBackup',
      input: { backup: id, requestedBy: `${userInfo().username}@${hostname()}` },
      subject: environment,
      summary: `releases ${id}, by hand`,
    });
  } finally {
    await session.close();
  }
}
