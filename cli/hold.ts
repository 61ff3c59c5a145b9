import { hostname, userInfo } from 'node:os';

import type { Command } from 'commander';

import { examplesAndExits } from './help.ts';
import type { GlobalOptions } from './session.ts';

export function register(program: Command, globals: () => GlobalOptions): void {
  program
    .command('hold')
    .summary('say that a backup must not be deleted until a time')
    .description(
      'Records that a backup must not be deleted until a time, and why: for a court, an incident, an audit. It counts at once, and a file\n' +
        'beside each copy (hold.json) says it, so that a catalog that is rebuilt from the destinations knows it. A hold can be extended by\n' +
        'another one and is never shortened; cofre release ends it. The reason is read by many: no secret, no personal data.',
    )
    .argument('<backup>', 'the id of a backup')
    .requiredOption('--reason <text>', 'why, in at most 500 characters')
    .requiredOption(
      '--until <time>',
      "2027-11-20 (that day included), 2027-11-20T18:00 or 2027-11-20T18:00:00Z; without a zone, in the environment's; at most 10 years ahead",
    )
    .addHelpText(
      'after',
      examplesAndExits(
        [
          'cofre hold 20261120T210000Z-1f3a9c04 --reason "court case 4711" --until 2027-11-20',
          'cofre hold 20261120T210000Z-1f3a9c04 --reason "incident 88" --until "2027-01-10 18:00" --yes',
        ],
        [0, 1, 2, 3, 4, 5, 130],
      ),
    )
    .action((backup: string, { reason, until }: { reason: string; until: string }) =>
      hold(globals(), backup, reason, until),
    );
}

async function hold(options: GlobalOptions, id: string, reason: string, untilText: string): Promise<void> {
  const [
    { Session },
    { startAndReport },
    { readApplied },
    { requireUntil },
    { getBackup },
    { liveHold },
    { checkReason },
    { untilOf },
    { holdRows },
    { confirm, say, table },
    { EXIT },
  ] = await Promise.all([
    import('./session.ts'),
    import('./start-and-report.ts'),
    import('../activities/applied.ts'),
    import('../activities/resolve-hold.ts'),
    import('../catalog/backup-list.ts'),
    import('../catalog/holds.ts'),
    import('../catalog/hold.ts'),
    import('./hold/until.ts'),
    import('./hold/words.ts'),
    import('./print.ts'),
    import('./exit.ts'),
  ]);
  const session = await Session.open(options);
  try {
    const catalog = await session.catalog();
    const { environment, copies } = await getBackup(catalog, id);
    checkReason(reason);
    const { config } = await readApplied(catalog);
    const until = untilOf(untilText, config.environments[environment]?.timezone ?? 'UTC');
    requireUntil(until, new Date().toISOString());
    const stands = await liveHold(catalog, id);
    say(
      options,
      table([
        ['backup', id],
        ['environment', environment],
        ['copies', copies.map(({ destination, state }) => `${destination} ${state}`).join(', ')],
        ...(stands === undefined ? [] : holdRows(stands)),
        ['until', until],
        ['reason', reason],
      ]),
    );
    const question = `${stands === undefined ? 'Hold it' : 'Hold it anew, instead of what holds it now'}, so that nothing deletes it before?`;
    if (!(await confirm(options, question))) {
      process.exitCode = EXIT.refused;
      return;
    }
    await startAndReport(await session.client(), options, {
      workflow: 'holdBackup',
      input: { backup: id, reason, until, requestedBy: `${userInfo().username}@${hostname()}` },
      subject: environment,
      summary: `holds ${id} until ${until}, by hand`,
    });
  } finally {
    await session.close();
  }
}
