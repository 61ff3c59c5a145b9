import { hostname, userInfo } from 'node:os';

import type { Command } from 'commander';

import { isBackupId } from '../catalog/backup-id.ts';
import { acceptAnomaly } from './accept/backup.ts';
import { acceptServerOf } from './accept/server.ts';
import { examplesAndExits } from './help.ts';
import { Session, type GlobalOptions } from './session.ts';

export function register(program: Command, globals: () => GlobalOptions): void {
  program
    .command('accept')
    .summary(
      "say that an environment's database is on another server from now on, or that an anomalous backup is right",
    )
    .description(
      'With an environment: records the server that now answers at its address. Until somebody says so, backups and restores on another\n' +
        'server than the recorded one are refused: a dump of the wrong server would pass every later check.\n\n' +
        'With a backup that is marked as anomalous, because much less is in it than in the one before: takes the mark from it. Until\n' +
        'then ensure refuses, restore --latest passes it over, and later backups are compared with the one before.',
    )
    .argument('<env or backup>', 'the environment, or the id of a backup')
    .addHelpText(
      'after',
      examplesAndExits(['cofre accept acme-prod', 'cofre accept 20261120T210000Z-1f3a9c04'], [0, 1, 2, 3, 4]),
    )
    .action(async (what: string) => {
      const options = globals();
      const session = await Session.open(options);
      try {
        const accept = isBackupId(what) ? acceptAnomaly : acceptServerOf;
        process.exitCode = await accept(session, options, what, `${userInfo().username}@${hostname()}`);
      } finally {
        await session.close();
      }
    });
}
