import type { Command } from 'commander';

import { examplesAndExits } from './help.ts';
import type { GlobalOptions } from './session.ts';

/** What was asked for; with nothing at all, the command asks step by step. */
export interface RestoreOptions {
  readonly from?: string;
  readonly latest?: true;
  readonly before?: string;
  readonly backup?: string;
  readonly file?: string;
  readonly to?: string;
  readonly reason?: string;
  readonly ticket?: string;
  readonly standalone?: string;
  readonly folder?: string;
}

export function register(program: Command, globals: () => GlobalOptions): void {
  program
    .command('restore')
    .summary('restore a backup; alone, it asks step by step')
    .description(
      'Restores a backup into the environment it came from: shows what it would do, asks, then loads and compares under a temporary name and swaps. ' +
        'The live database is untouched until the new one is verified, and is kept for a while. Without any option it asks step by step. ' +
        'When catalog and Temporal are lost, --standalone needs only the configuration file and a destination: it serves both on this machine for the time of the restore.',
    )
    .option('--from <env>', 'the environment whose backup is restored')
    .option('--latest', 'its newest verified backup (unless told otherwise)')
    .option('--before <time>', 'its newest verified backup with data from before this time')
    .option('--backup <id>', 'this backup')
    .option('--file <path>', "a dump that another job made (database_latest.dump.gz), on the environment's host")
    .option('--to <env>', 'the environment to restore into')
    .option('--reason <text>', 'why, for the record')
    .option('--ticket <id>', 'the ticket, for the record')
    .option('--standalone <dest:backup>', 'without catalog and Temporal: this backup, or latest, from this destination')
    .option('--folder <dir>', 'with --standalone: where it works (else in the spool of the host)')
    .addHelpText(
      'after',
      examplesAndExits(
        [
          'cofre restore',
          'cofre restore --from acme-prod --latest --to acme-prod',
          'cofre restore --from acme-prod --before "2026-11-20 12:00" --to acme-prod --reason "wrong import"',
          'cofre restore --file /backups/acme/database_latest.dump.gz --to acme-prod --yes',
          'cofre restore --standalone volume:latest --to acme-prod',
        ],
        [0, 1, 2, 3, 4, 130],
      ),
    )
    .action(async (asked: RestoreOptions) => {
      if (asked.standalone !== undefined) {
        const { restoreStandalone } = await import('./standalone/restore.ts');
        await restoreStandalone(globals(), asked);
        return;
      }
      const { restore } = await import('./restore-flow.ts');
      await restore(globals(), asked);
    });
}
