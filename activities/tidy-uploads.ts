import { isBackupId } from '../catalog/backup-id.ts';
import { backupStates } from '../catalog/backups.ts';
import type { Queries } from '../catalog/open.ts';
import { unfinishedUploads } from '../destinations/gcs/session-files.ts';
import type { Spool } from './spool.ts';
import type { Tidied } from './tidy-spool.ts';

/** Of backups in these states nobody sends anything any more. Any other may get a copy that it lacks, tonight or later. */
const ENDED: ReadonlySet<string> = new Set(['failed', 'deleting', 'deleted']);

/**
 * Removes from the spool the addresses of uploads that nobody will go on with: of backups that are gone, and those that the
 * service itself has forgotten.
 */
export async function tidyUploads(spool: Spool, catalog: Queries, now = Date.now()): Promise<Tidied> {
  const uploads = await unfinishedUploads(spool.uploads, now);
  const states = await backupStates(
    catalog,
    uploads.flatMap(({ name }) => backupIdIn(name) ?? []),
  );
  const removed: string[] = [];
  for (const { name, bucket, isForgotten, remove } of uploads) {
    const state = states.get(backupIdIn(name) ?? '');
    if (!isForgotten && (state === undefined || !ENDED.has(state))) continue;
    await remove();
    removed.push(`the unfinished upload of ${name} to ${bucket}`);
  }
  return { removed, kept: [] };
}

/** In `<prefix>/<environment>/<backup id>/<attempt>/<object>`. */
function backupIdIn(name: string): string | undefined {
  return name.split('/').find(isBackupId);
}
