import { recordCopy } from '../catalog/backups.ts';
import type { Catalog } from '../catalog/open.ts';
import type { CofreError } from '../errors/error.ts';

/** Of a copy that is not what was verified. From now on nobody chooses it any more, and `cofre status` shows it. */
export async function markSuspect(
  catalog: Catalog,
  backupId: string,
  destination: string,
  error: CofreError,
): Promise<void> {
  await recordCopy(catalog, {
    backupId,
    destination,
    state: 'suspect',
    error: { code: error.code, message: error.message },
  });
}
