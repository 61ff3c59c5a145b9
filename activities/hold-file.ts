import { objectPrefix } from '../catalog/backup-id.ts';
import { HOLD_FILE, HOLD_MAX_BYTES, holdBytes, isSameHold, parseHold, type Hold } from '../catalog/hold.ts';
import { fileOf, liveHold, lockHoldFile, recordHoldFile } from '../catalog/holds.ts';
import type { Catalog, Queries } from '../catalog/open.ts';
import type { Destination } from '../destinations/destination.ts';
import { bytesBody } from '../destinations/local-file.ts';
import { bytesOf, unlessMissing } from '../destinations/stored.ts';
import { CofreError, messageOf, type ErrorCode } from '../errors/error.ts';

/** Whose hold, and where. */
export interface HeldCopy {
  readonly environment: string;
  readonly backupId: string;
  readonly destination: string;
}

/** What the file of a hold says; or why it says nothing. */
export type HoldFile = { readonly hold: Hold } | { readonly unreadable: string };

/** What is the file's own fault; any other failure is that of its destination. */
const FILES_FAULT: ReadonlySet<ErrorCode> = new Set(['bad-content', 'invalid-key', 'invalid-range']);

/** The hold that lies beside a copy; undefined where there is none. */
export async function readHoldFile(
  place: Destination,
  of: Pick<HeldCopy, 'environment' | 'backupId'>,
  signal: AbortSignal,
): Promise<HoldFile | undefined> {
  try {
    const key = objectPrefix(of.environment, of.backupId) + HOLD_FILE;
    const stream = await unlessMissing(place.get(key, { signal }));
    if (stream === undefined) return undefined;
    return { hold: parseHold(await bytesOf(stream, HOLD_MAX_BYTES), of) };
  } catch (error) {
    if (error instanceof CofreError && FILES_FAULT.has(error.code)) return { unreadable: messageOf(error) };
    throw error;
  }
}

/** In this time it is done or given up, from the lock on: before the catalog takes the rows away from who does not move. */
const LAYS_WITHIN_MS = 20_000;

/**
 * Makes the hold's file beside a copy what the catalog says: there, another one, or gone. It is locked meanwhile, so that whoever sets or
 * releases a hold comes before or after it. Nothing is ever overwritten: a file that changes is removed and put, and in between the
 * catalog knows the hold, as do the other destinations.
 */
export async function layHold(
  catalog: Catalog,
  place: Destination,
  copy: HeldCopy,
  cancelled: AbortSignal,
): Promise<void> {
  const { backupId, destination } = copy;
  await catalog.transaction(async (transaction) => {
    await lockHoldFile(transaction, copy);
    const late = AbortSignal.timeout(LAYS_WITHIN_MS);
    try {
      await changeFile(transaction, place, copy, AbortSignal.any([cancelled, late]));
    } catch (error) {
      if (!late.aborted || cancelled.aborted) throw error;
      const message = `${destination} took too long to change the hold of ${backupId}`;
      throw new CofreError('destination-unavailable', message, { cause: error });
    }
  });
}

async function changeFile(
  transaction: Queries,
  place: Destination,
  copy: HeldCopy,
  signal: AbortSignal,
): Promise<void> {
  const { environment, backupId } = copy;
  const key = objectPrefix(environment, backupId) + HOLD_FILE;
  const hold = await liveHold(transaction, backupId);
  // The only thing that tells of it, or nobody's concern any more: it goes with its release.
  if (hold !== undefined && hold.releasing === null && (hold.until === null || !hold.counts)) return;
  const wanted = fileOf(hold);
  const found = await readHoldFile(place, copy, signal);
  const fits =
    wanted === undefined
      ? found === undefined
      : found !== undefined && 'hold' in found && isSameHold(found.hold, wanted);
  if (!fits) {
    // Who was frozen may have lost the rows, and what is done then may be another's.
    signal.throwIfAborted();
    if (found !== undefined) await place.remove(key, { signal });
    signal.throwIfAborted();
    if (wanted !== undefined) await place.put(key, bytesBody(holdBytes(wanted)), { signal });
  }
  await recordHoldFile(transaction, copy, wanted?.id ?? null);
}

/** The same for a copy that was just made. */
export async function layHoldIfHeld(
  catalog: Catalog,
  place: Destination,
  copy: HeldCopy,
  signal: AbortSignal,
): Promise<void> {
  if (fileOf(await liveHold(catalog, copy.backupId)) !== undefined) await layHold(catalog, place, copy, signal);
}
