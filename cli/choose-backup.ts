import { getBackup } from '../catalog/backup-list.ts';
import type { Catalog } from '../catalog/open.ts';
import { latestVerifiedBackup } from '../catalog/verified-backup.ts';
import { CofreError } from '../errors/error.ts';

export interface ChosenBackup {
  readonly id: string;
  readonly environment: string;
}

/** The backup that `--backup`, `--before` or `--latest` means. @throws CofreError `no-backup`, `not-known`, `bad-input`. */
export async function chooseBackup(
  catalog: Catalog,
  from: string | undefined,
  { backup: id, before }: { readonly backup?: string | undefined; readonly before?: string | undefined },
): Promise<ChosenBackup> {
  if (id !== undefined) {
    const { environment } = await getBackup(catalog, id);
    if (from === undefined || from === environment) return { id, environment };
    throw new CofreError('bad-input', `the backup ${id} is of ${environment}, not of ${from}`, {
      hint: `cofre backups ${from} lists its backups`,
    });
  }
  if (from === undefined)
    throw new CofreError('bad-input', 'say which backup: --from ENV, or --backup ID', {
      hint: 'cofre backups lists them',
    });
  const time = before === undefined ? undefined : timeOf(before);
  const backup = await latestVerifiedBackup(catalog, from, { before: time, anomalous: 'pass over' });
  if (backup !== undefined) return { id: backup.id, environment: from };
  const when = time === undefined ? '' : ` from before ${time}`;
  throw new CofreError('no-backup', `there is no verified backup of ${from}${when}`, {
    hint: `cofre backups ${from} lists what there is; cofre backup ${from} makes one`,
  });
}

/** An ISO time; one without a zone is this machine's. */
function timeOf(text: string): string {
  const time = Date.parse(/^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00` : text.replace(' ', 'T'));
  if (/^\d{4}-\d\d-\d\d/.test(text) && !Number.isNaN(time)) return new Date(time).toISOString();
  throw new CofreError('bad-input', `"${text.slice(0, 40)}" is not a time`, {
    hint: 'write it like 2026-11-20, "2026-11-20 21:00" or 2026-11-20T21:00:00Z',
  });
}
