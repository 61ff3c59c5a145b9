import { recordCopy } from '../catalog/backups.ts';
import type { Catalog } from '../catalog/open.ts';
import { CofreError, type ErrorCode } from '../errors/error.ts';

const DAMAGED: ReadonlySet<ErrorCode> = new Set(['bad-content', 'not-found']);

/** Whether a failure says something against the copy; a medium that cannot be reached does not. */
export function isDamage(error: unknown): error is CofreError {
  return error instanceof CofreError && DAMAGED.has(error.code);
}

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
