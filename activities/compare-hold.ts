import { lockBackup } from '../catalog/backups.ts';
import { isSameHold } from '../catalog/hold.ts';
import { fileOf, liveHold, recordHoldFile, takeHold, takeUnreadable } from '../catalog/holds.ts';
import type { Catalog } from '../catalog/open.ts';
import type { Destination } from '../destinations/destination.ts';
import { CofreError, messageOf, type ErrorCode } from '../errors/error.ts';
import type { Differences } from './differences.ts';
import { layHold, readHoldFile, type HeldCopy } from './hold-file.ts';

interface Comparing {
  readonly catalog: Catalog;
  readonly place: Destination;
  readonly signal: AbortSignal;
  readonly differences: Differences;
}

/**
 * Compares the hold that the catalog has of a backup with the file beside one copy: takes what the catalog does not know, and lays what is
 * missing there. A file without a hold stays: only a release removes it.
 */
export async function compareHold(comparing: Comparing, copy: HeldCopy): Promise<void> {
  const { catalog, place, signal, differences } = comparing;
  const { backupId, destination } = copy;
  const found = await readHoldFile(place, copy, signal);
  const tell = (what: string): void => differences.add('hold', copy, what);
  if (found !== undefined && 'unreadable' in found) {
    const isNew = await takeUnreadable(catalog, backupId, destination, found.unreadable);
    tell(`hold.json cannot be read: ${found.unreadable}${isNew ? '; it is held until somebody releases it' : ''}`);
    return;
  }
  if (found !== undefined) {
    const { hold } = found;
    const taken = await takeHold(catalog, hold, destination);
    if (taken === 'taken') {
      await remember(catalog, copy, hold.id);
      tell(`held until ${hold.until} by ${hold.setBy}, which the catalog did not know: ${hold.reason}`);
      return;
    }
  }
  const stands = await liveHold(catalog, backupId);
  const wanted = stands?.counts === true ? fileOf(stands) : undefined;
  if (wanted !== undefined && found !== undefined && isSameHold(found.hold, wanted)) {
    await remember(catalog, copy, wanted.id);
  } else if (wanted !== undefined) {
    await lay(comparing, copy, found === undefined ? 'hold.json was not there' : 'hold.json was another one', tell);
  } else if (found !== undefined && stands?.releasing != null) {
    tell(`its release has not come to this one: cofre release ${backupId}`);
  } else if (found !== undefined && stands === undefined) {
    tell(`hold.json is of a hold that was released: cofre release ${backupId} removes it`);
  }
}

/** Why one file cannot be written where others can: rights, or something that is in its way. */
const THIS_ONES: ReadonlySet<ErrorCode> = new Set(['access-denied', 'already-exists', 'invalid-key']);

async function lay(
  { catalog, place, signal }: Comparing,
  copy: HeldCopy,
  was: string,
  tell: (what: string) => void,
): Promise<void> {
  try {
    await layHold(catalog, place, copy, signal);
    tell(`${was}; it was written`);
  } catch (error) {
    // The rest of this destination can be compared all the same.
    if (!(error instanceof CofreError) || !THIS_ONES.has(error.code)) throw error;
    tell(`${was}, and it could not be written: ${messageOf(error)}`);
  }
}

async function remember(catalog: Catalog, copy: HeldCopy, id: string): Promise<void> {
  await catalog.transaction(async (transaction) => {
    await lockBackup(transaction, copy.backupId);
    if ((await liveHold(transaction, copy.backupId))?.id === id) await recordHoldFile(transaction, copy, id);
  });
}
