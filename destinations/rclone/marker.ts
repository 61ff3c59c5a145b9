import { CofreError } from '../../errors/error.ts';
import { bytesBody } from '../local-file.ts';
import { MARKER, MARKER_MAX_BYTES, newMarker, requireId, stateOfPlace } from '../marker.ts';
import type { PlaceState } from '../place.ts';
import { unlessMissing } from '../stored.ts';
import { entriesIn } from './entries.ts';
import { storeObject } from './put.ts';
import type { RcloneRemote } from './remote.ts';

/**
 * Gives the id in the marker of a folder: without it, it is another folder, or a volume that is not mounted, or an account
 * that was emptied. @throws CofreError `not-mounted` when there is none.
 */
export async function requireMarker(remote: RcloneRemote, signal: AbortSignal | undefined): Promise<string> {
  const text = await readMarker(remote, signal);
  const hint = 'look whether it is the right one; a new, empty folder is prepared by `cofre destination prepare`';
  return requireId(text, remote.url, 'folder', hint);
}

/** What a folder looks like. Changes nothing. */
export async function folderState(remote: RcloneRemote): Promise<PlaceState> {
  return await stateOfPlace(
    () => readMarker(remote, undefined),
    async () => {
      const entries = await entriesIn(remote, '', undefined);
      if (entries === undefined) return 'missing';
      return entries.every(({ path }) => path === 'lost+found' || path.startsWith('.')) ? 'empty' : 'not-empty';
    },
  );
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
  const text = await unlessMissing(remote.ask(`to give its ${MARKER}`, args, signal));
  // Where folders are only the beginnings of names (S3), what is missing is taken for an empty folder, and nothing is said.
  return text === '' ? undefined : text;
}
