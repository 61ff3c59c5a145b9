import { CofreError } from '../../errors/error.ts';
import { bytesBody } from '../local-file.ts';
import { MARKER, MARKER_MAX_BYTES, markerId, newMarker, stateByMarker } from '../marker.ts';
import type { PlaceState } from '../place.ts';
import { entriesIn } from './entries.ts';
import { storeObject } from './put.ts';
import type { RcloneRemote } from './remote.ts';

/**
 * Gives the id in the marker of a folder: without it, it is another folder, or a volume that is not mounted, or an account
 * that was emptied. @throws CofreError `not-mounted` when there is none.
 */
export async function requireMarker(remote: RcloneRemote, signal: AbortSignal | undefined): Promise<string> {
  const text = await readMarker(remote, signal);
  const id = text === undefined ? undefined : markerId(text);
  if (id !== undefined) return id;
  const what =
    text === undefined
      ? `has no ${MARKER}: it is another folder, or was never prepared`
      : `has a ${MARKER} that this Cofre does not know`;
  throw new CofreError('not-mounted', `${remote.url} ${what}`, {
    hint: 'look whether it is the right one; a new, empty folder is prepared by `cofre destination prepare`',
  });
}

/** What a folder looks like. Changes nothing. */
export async function folderState(remote: RcloneRemote): Promise<PlaceState> {
  const known = stateByMarker(await readMarker(remote, undefined));
  if (known !== undefined) return known;
  const entries = await entriesIn(remote, '', undefined);
  if (entries === undefined) return 'missing';
  if (entries.every(({ path }) => path === 'lost+found' || path.startsWith('.'))) return 'empty';
  // What is there may be the marker of somebody who prepares it in this very moment.
  return stateByMarker(await readMarker(remote, undefined)) ?? 'not-empty';
}

/**
 * Prepares a folder as a destination, once: writes the marker. Gives false where it is already there.
 * @throws CofreError `not-mounted` when there is no such folder, `refused` when it is not empty and `evenIfNotEmpty` is not set.
 */
export async function prepareFolder(
  remote: RcloneRemote,
  { evenIfNotEmpty = false }: { evenIfNotEmpty?: boolean } = {},
): Promise<boolean> {
  const state = await folderState(remote);
  if (state === 'prepared') return false;
  if (state === 'missing') {
    throw new CofreError('not-mounted', `there is no folder ${remote.url}`, { hint: 'make it with `rclone mkdir`' });
  }
  if (state === 'foreign') await requireMarker(remote, undefined);
  if (state === 'not-empty' && !evenIfNotEmpty) {
    throw new CofreError('refused', `${remote.url} is not empty: is it the right folder?`, {
      hint: 'if it is: `cofre destination prepare NAME --force`',
    });
  }
  try {
    // Stored as the objects will be: a remote that cannot do it is found now and not at night.
    await storeObject(remote, MARKER, bytesBody(Buffer.from(newMarker())), {});
    return true;
  } catch (error) {
    // Somebody else prepared it at the same moment.
    if (error instanceof CofreError && error.code === 'already-exists') return false;
    throw error;
  }
}

async function readMarker(remote: RcloneRemote, signal: AbortSignal | undefined): Promise<string | undefined> {
  const args = ['cat', '--count', String(MARKER_MAX_BYTES), remote.nameOf(MARKER)];
  try {
    return await remote.ask(`to give its ${MARKER}`, args, signal);
  } catch (error) {
    if (error instanceof CofreError && error.code === 'not-found') return undefined;
    throw error;
  }
}
