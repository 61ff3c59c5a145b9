import { hostname, userInfo } from 'node:os';

import type { Command } from 'commander';

import { examplesAndExits } from '../help.ts';
import type { GlobalOptions } from '../session.ts';

export function registerConfirm(catalog: Command, globals: () => GlobalOptions): void {
  catalog
    .command('confirm')
    .summary('say that the holds which were found are all there are')
    .description(
      'After backups or holds were taken in from destinations (a rebuild, a catalog that was brought back) the catalog may lack holds that\n' +
        'lie where nobody has looked. Until somebody has compared the list with their own records nothing is pruned and no destination is\n' +
        'retired. Shows the holds, and asks. A backup whose hold cannot be read is held until cofre release or a new cofre hold.',
    )
    .addHelpText('after', examplesAndExits(['cofre catalog confirm', 'cofre catalog confirm --yes'], [0, 2, 3, 4]))
    .action(() => confirm(globals()));
}

async function confirm(options: GlobalOptions): Promise<void> {
  const [
    { Session },
    { confirmHolds, unconfirmedSince },
    { liveHolds },
    { printJson, say, table, confirm: ask },
    { EXIT },
  ] = await Promise.all([
    import('../session.ts'),
    import('../../catalog/hold-confirmations.ts'),
    import('../../catalog/holds.ts'),
    import('../print.ts'),
    import('../exit.ts'),
  ]);
  const session = await Session.open(options);
  try {
    const catalog = await session.catalog();
    const since = await unconfirmedSince(catalog);
    const holds = await liveHolds(catalog);
    if (since === null) {
      say(options, 'the holds of this catalog are confirmed; nothing to do');
      if (options.json) printJson({ changed: false, unconfirmedSince: null, holds });
      return;
    }
    const rows = holds.map(({ environment, backupId, until, counts, setBy, reason, foundIn }) => [
      environment,
      backupId,
      until === null ? 'CANNOT BE READ' : counts ? until : `ended ${until}`,
      setBy,
      foundIn ?? '',
      reason,
    ]);
    const list =
      rows.length === 0
        ? 'no backup is held'
        : table([['ENVIRONMENT', 'BACKUP', 'HELD UNTIL', 'BY', 'FOUND IN', 'BECAUSE'], ...rows]);
    say(
      options,
      `${list}\n\nnot confirmed since ${since}; a destination that was away was not looked at: cofre sync DEST does that first`,
    );
    if (!(await ask(options, 'Are these all the holds there must be, so that pruning may begin again?'))) {
      process.exitCode = EXIT.refused;
      return;
    }
    const changed = await confirmHolds(catalog, `${userInfo().username}@${hostname()}`);
    say(options, 'confirmed');
    if (options.json) printJson({ changed, unconfirmedSince: since, holds });
  } finally {
    await session.close();
  }
}
