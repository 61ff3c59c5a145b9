import type { Command } from 'commander';

import { readApplied } from '../activities/applied.ts';
import { listBackups, type BackupSummary } from '../catalog/backup-list.ts';
import { requireKnown } from './environment.ts';
import { examplesAndExits } from './help.ts';
import { bytesInWords, table } from './print.ts';
import { printResult } from './result.ts';
import { Session, type GlobalOptions } from './session.ts';

export function register(program: Command, globals: () => GlobalOptions): void {
  program
    .command('backups')
    .summary('list the backups')
    .description('Lists the backups that the catalog knows, the newest first, with their copies.')
    .argument('[env]', 'only those of one environment')
    .addHelpText(
      'after',
      examplesAndExits(['cofre backups', 'cofre backups acme-prod', 'cofre backups acme-prod --json'], [0, 2, 4]),
    )
    .action(async (environment: string | undefined) => {
      const options = globals();
      const session = await Session.open(options);
      try {
        const catalog = await session.catalog();
        const backups = await listBackups(catalog, { environment });
        // One that left the configuration may still have backups, so only an empty list asks whether the name is right.
        if (backups.length === 0 && environment !== undefined) {
          const { config } = await readApplied(catalog);
          requireKnown('environment', environment, Object.keys(config.environments));
        }
        printResult(options, backups, listInWords(backups));
      } finally {
        await session.close();
      }
    });
}

function listInWords(backups: readonly BackupSummary[]): string {
  if (backups.length === 0) return 'there are no backups; cofre backup ENV makes one';
  return table([['BACKUP', 'ENVIRONMENT', 'STATE', 'SIZE', 'OF', 'COPIES'], ...backups.map(rowOf)]);
}

function rowOf(backup: BackupSummary): string[] {
  const { id, environment, state, sizeBytes, rawBytes, copies } = backup;
  const flags = (['anomalous', 'held', 'adopted'] as const).filter((flag) => backup[flag] === true);
  return [
    id,
    environment,
    [state, ...flags].join(', '),
    sizeBytes === null ? '' : bytesInWords(sizeBytes),
    rawBytes === null ? '' : bytesInWords(rawBytes),
    copies.map((copy) => `${copy.destination} ${copy.state}`).join(', '),
  ];
}
