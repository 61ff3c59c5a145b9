import { listBackups, type BackupSummary } from '../catalog/backup-list.ts';
import type { Catalog } from '../catalog/open.ts';
import { requireKnown } from './environment.ts';
import { ask, bytesInWords, table, tell } from './print.ts';
import type { RestoreOptions } from './restore.ts';

const SHOWN = 10;
const HINT = 'say what to restore: cofre restore --from ENV --latest --to ENV --yes';

/** Asks a person, step by step, which environment and which of its backups. */
export async function askWhatToRestore(catalog: Catalog, environments: readonly string[]): Promise<RestoreOptions> {
  tell(`environments: ${environments.join(', ')}`);
  const environment = await ask('Which environment? ', HINT);
  requireKnown('environment', environment, environments);

  const backups = (await listBackups(catalog, { environment, limit: 100 })).filter(hasVerifiedCopy).slice(0, SHOWN);
  if (backups.length > 0) {
    tell(
      table([
        ['', 'backup', 'begun', 'archive', 'copies'],
        ...backups.map((backup, index) => rowOf(backup, index + 1)),
      ]),
    );
  }
  const answer = await ask('Which backup? A number, an id, or a time before which its data were taken [newest] ', HINT);
  const reason = await ask('Why? (for the record, may be empty) ', HINT);
  return { from: environment, to: environment, ...whichOf(answer, backups), ...(reason === '' ? {} : { reason }) };
}

function whichOf(answer: string, backups: readonly BackupSummary[]): RestoreOptions {
  if (answer === '') return { latest: true };
  const chosen = /^\d{1,2}$/.test(answer) ? backups[Number(answer) - 1] : undefined;
  if (chosen !== undefined) return { backup: chosen.id };
  return /^\d{8}T\d{6}Z-/.test(answer) ? { backup: answer } : { before: answer };
}

function hasVerifiedCopy({ copies }: BackupSummary): boolean {
  return copies.some(({ state }) => state === 'verified');
}

function rowOf({ id, startedAt, sizeBytes, anomalous, copies }: BackupSummary, number: number): string[] {
  const where = copies.filter(({ state }) => state === 'verified').map(({ destination }) => destination);
  const size = sizeBytes === null ? '' : bytesInWords(sizeBytes);
  return [String(number), id, startedAt, size, `${where.join(', ')}${anomalous === true ? '; anomalous' : ''}`];
}
