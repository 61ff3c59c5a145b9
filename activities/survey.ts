import { isBackupId, isName, objectPrefix } from '../catalog/backup-id.ts';
import { HOLD_FILE } from '../catalog/hold.ts';
import type { Destination, StoredObject } from '../destinations/destination.ts';
import { CATALOG_FOLDER } from './catalog-backup.ts';

/** Whatever may lie in the folder of a backup beside its manifest and the objects of an attempt. */
const OWN_NAMES = new Set(['manifest.json', HOLD_FILE]);

/** What lies in a destination: the objects of each backup's folder, by the folder, and what lies nowhere. */
export interface Survey {
  /** Keys as in a manifest, relative to the folder. A few hundred bytes for each backup. */
  readonly backups: Map<string, StoredObject[]>;
  /** The first of those that are in no backup's folder, and how many there are in all. */
  readonly elsewhere: { readonly first: StoredObject[]; count: number };
}

const ELSEWHERE_KEPT = 50;

/** Lists a destination, all of it and once, as the driver gives it: page by page and in no order. */
export async function surveyPlace(
  place: Destination,
  {
    aliases,
    signal,
    isOthers,
    onProgress,
  }: {
    aliases: ReadonlySet<string>;
    signal: AbortSignal;
    isOthers: (key: string) => boolean;
    onProgress: (objects: number) => void;
  },
): Promise<Survey> {
  const survey: Survey = { backups: new Map(), elsewhere: { first: [], count: 0 } };
  let objects = 0;
  for await (const object of place.list('', { signal })) {
    objects += 1;
    onProgress(objects);
    // Aliases are no copies, and backups of the catalog are not entered in it.
    if (aliases.has(object.key) || object.key.startsWith(`${CATALOG_FOLDER}/`)) continue;
    const folder = folderOf(object.key);
    if (folder === undefined) {
      if (isOthers(object.key)) continue;
      survey.elsewhere.count += 1;
      if (survey.elsewhere.first.length < ELSEWHERE_KEPT) survey.elsewhere.first.push(object);
      continue;
    }
    const own = survey.backups.get(folder) ?? [];
    own.push({ key: object.key.slice(folder.length), sizeBytes: object.sizeBytes });
    survey.backups.set(folder, own);
  }
  return survey;
}

/** The environment and the backup of a folder. */
export function namesOf(folder: string): { environment: string; backupId: string } {
  const [environment = '', backupId = ''] = folder.split('/');
  return { environment, backupId };
}

/** The folder of a backup to which a key belongs: `acme-prod/20261120T210000Z-1f3a9c04/`. */
function folderOf(key: string): string | undefined {
  const [environment = '', backupId = '', name = '', ...more] = key.split('/');
  if (!isName(environment) || !isBackupId(backupId)) return undefined;
  const belongs = more.length === 1 || (more.length === 0 && OWN_NAMES.has(name));
  return belongs ? objectPrefix(environment, backupId) : undefined;
}
