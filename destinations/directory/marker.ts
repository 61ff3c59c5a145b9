import { constants } from 'node:fs';
import { link, open, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { CofreError, nativeCode } from '../../errors/error.ts';
import { MARKER, MARKER_MAX_BYTES, markerId, newMarker } from '../marker.ts';
import { isTemporary, removeAbandoned, temporaryName } from '../temporary-file.ts';
import { toDirectoryError } from './errors.ts';
import { syncFolder } from './sync-folder.ts';

/**
 * Gives the id in the folder's marker, which shows that the right volume is mounted. Without it an empty mount point would
 * take the backups, fill the system's own disk and look like a destination that has lost everything.
 * @throws CofreError `not-mounted` when there is none.
 */
export async function requireMarker(root: string): Promise<string> {
  const text = await readMarker(root);
  if (text === undefined) {
    throw new CofreError('not-mounted', `${root} has no ${MARKER}: the volume is not mounted, or was never prepared`, {
      hint: 'mount it; a new, empty folder is prepared by `cofre apply`',
    });
  }
  const id = markerId(text);
  if (id !== undefined) return id;
  throw new CofreError('not-mounted', `the ${MARKER} in ${root} is not one that this Cofre wrote or knows`, {
    hint: 'look what is mounted there; a newer Cofre may have prepared it',
  });
}

/**
 * Prepares a folder as a destination, once: writes the marker. Gives false where it is already there.
 * @throws CofreError `not-mounted` when there is no such folder (a mount point is never created), `refused` when it is not
 * empty and `evenIfNotEmpty` is not set.
 */
export async function prepareDirectory(
  root: string,
  { evenIfNotEmpty = false }: { evenIfNotEmpty?: boolean } = {},
): Promise<boolean> {
  if ((await readMarker(root)) !== undefined) return false;
  await requireEmpty(root, evenIfNotEmpty);
  const temporary = join(root, temporaryName());
  try {
    await removeAbandoned(root, Date.now());
    const file = await open(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o640);
    try {
      await file.writeFile(newMarker());
      await file.sync();
    } finally {
      await file.close();
    }
    // Linked, as the objects will be: a file system that cannot do it is found now and not at night.
    await link(temporary, join(root, MARKER));
    await rm(temporary);
    await syncFolder(root);
    return true;
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => undefined);
    // Somebody else prepared it at the same moment.
    if (nativeCode(cause) === 'EEXIST') return false;
    throw toDirectoryError(cause, `${root} cannot be prepared as a destination`);
  }
}

async function readMarker(root: string): Promise<string | undefined> {
  try {
    // Not blocking: a named pipe would wait for its writer.
    const file = await open(join(root, MARKER), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(MARKER_MAX_BYTES), 0, MARKER_MAX_BYTES, 0);
      return buffer.toString('utf8', 0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (cause) {
    if (nativeCode(cause) === 'ENOENT' || nativeCode(cause) === 'ENOTDIR') return undefined;
    throw toDirectoryError(cause, `the ${MARKER} in ${root} cannot be read`);
  }
}

async function requireEmpty(root: string, evenIfNotEmpty: boolean): Promise<void> {
  let names: string[];
  try {
    names = await readdir(root);
  } catch (cause) {
    const code = nativeCode(cause);
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw toDirectoryError(cause, `${root} cannot be read`);
    throw new CofreError('not-mounted', `${root} is not a folder`, {
      cause,
      hint: 'mount the volume, or create the folder',
    });
  }
  // The root of every ext4 file system has lost+found; a temporary is what a killed call of this function left.
  const found = names.filter((name) => name !== 'lost+found' && !isTemporary(name));
  if (found.length === 0 || evenIfNotEmpty) return;
  throw new CofreError('refused', `${root} is not empty (${found.slice(0, 3).join(', ')}): is it the right volume?`, {
    hint: 'if it is: `cofre destination prepare NAME --force`',
  });
}
