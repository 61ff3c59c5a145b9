import { getBackup } from '../../catalog/backup-list.ts';
import { acceptBackup } from '../../catalog/backups.ts';
import { EXIT } from '../exit.ts';
import { confirm, printJson, say, table } from '../print.ts';
import type { GlobalOptions, Session } from '../session.ts';

/** The backup is as it should be: it loses its mark `anomalous`. Gives the exit code. */
export async function acceptAnomaly(session: Session, options: GlobalOptions, id: string, by: string): Promise<number> {
  const catalog = await session.catalog();
  const { environment, anomalous, warnings } = await getBackup(catalog, id);
  if (anomalous !== true) {
    say(options, `${id} is not marked as anomalous; nothing to do`);
    if (options.json) printJson({ backupId: id, environment, changed: false });
    return EXIT.done;
  }
  const why = warnings.find((line) => line.startsWith('anomalous: ')) ?? 'anomalous';
  say(
    options,
    table([
      ['backup', id],
      ['environment', environment],
      ['marked', why],
    ]),
  );
  if (!(await confirm(options, `Is ${environment} as it should be with so little in it?`))) return EXIT.refused;
  const changed = await acceptBackup(catalog, id, by);
  say(
    options,
    `accepted: ${id} is as it should be; ensure and --latest take it, and later backups are compared with it`,
  );
  if (options.json) printJson({ backupId: id, environment, changed });
  return EXIT.done;
}
