import { posix } from 'node:path';

import { CofreError } from '../../errors/error.ts';
import { bytesBody } from '../local-file.ts';
import { MARKER, MARKER_MAX_BYTES, markerId, newMarker, stateOfPlace } from '../marker.ts';
import type { PlaceState } from '../place.ts';
import { STATUS, ignoreStatus, toSftpError } from './errors.ts';
import { namesIn, withFile } from './files.ts';
import { storeObject } from './put.ts';
import type { SftpSession } from './session.ts';
import { readBlocks } from './transfer.ts';

/**
 * Gives the id in the marker of a folder on the server: without it, the folder behind it is not mounted there, or the account
 * was led to another one. @throws CofreError `not-mounted` when there is none.
 */
export async function requireMarker(session: SftpSession, root: string, signal?: AbortSignal): Promise<string> {
  const text = await readMarker(session, root, signal);
  if (text === undefined) throw noMarker(root);
  const id = markerId(text);
  if (id !== undefined) return id;
  throw new CofreError(
    'not-mounted',
    `the ${MARKER} in ${root} on the server is not one that this Cofre wrote or knows`,
    {
      hint: 'look what is there; a newer Cofre may have prepared it',
    },
  );
}

/** The same, less thoroughly and in one request: for a session that has read it before. */
export async function requireMarkerStands(session: SftpSession, root: string, signal?: AbortSignal): Promise<void> {
  if ((await session.look(posix.join(root, MARKER), signal))?.isFile() !== true) throw noMarker(root);
}

/** What a folder on the server looks like. Changes nothing. */
export async function folderState(session: SftpSession, root: string): Promise<PlaceState> {
  try {
    // Here a link may lead to it: it is the operator's own word.
    const found = await session
      .ask<{ isDirectory(): boolean }>((sftp, done) => sftp.stat(root, done))
      .catch(ignoreStatus(STATUS.noSuchFile));
    if (found?.isDirectory() !== true) return 'missing';
    return await stateOfPlace(
      () => readMarker(session, root),
      async () => {
        const names = await namesIn(session, root);
        // What a shell or a killed call of `prepareFolder` leaves in an account's folder.
        return names.every((name) => name === 'lost+found' || name.startsWith('.')) ? 'empty' : 'not-empty';
      },
    );
  } catch (cause) {
    throw toSftpError(cause, `${root} on the server cannot be looked at`);
  }
}

/**
 * Prepares a folder as a destination, once: writes the marker. Gives false where it is already there.
 * @throws CofreError `not-mounted` when there is no such folder, `refused` when it is not empty and `evenIfNotEmpty` is not set.
 */
export async function prepareFolder(
  session: SftpSession,
  root: string,
  { evenIfNotEmpty = false }: { evenIfNotEmpty?: boolean } = {},
): Promise<boolean> {
  const state = await folderState(session, root);
  if (state === 'prepared') return false;
  if (state === 'missing') {
    throw new CofreError('not-mounted', `there is no folder ${root} on the server`, {
      hint: 'make it there, as the user of the destination',
    });
  }
  if (state === 'foreign') await requireMarker(session, root);
  if (state === 'not-empty' && !evenIfNotEmpty) {
    throw new CofreError('refused', `${root} on the server is not empty: is it the right folder?`, {
      hint: 'if it is: `cofre destination prepare NAME --force`',
    });
  }
  try {
    // Stored as the objects will be: a server that cannot do it is found now and not at night.
    await storeObject(session, posix.join(root, MARKER), bytesBody(Buffer.from(newMarker())), 0, {}, 'create');
    return true;
  } catch (error) {
    // Somebody else prepared it at the same moment.
    if (error instanceof CofreError && error.code === 'already-exists') return false;
    throw error;
  }
}

async function readMarker(session: SftpSession, root: string, signal?: AbortSignal): Promise<string | undefined> {
  const path = posix.join(root, MARKER);
  const blocks: Buffer[] = [];
  try {
    await withFile(session, path, 'r', signal, async (handle) => {
      for await (const block of readBlocks([{ session, handle }], 0, MARKER_MAX_BYTES, signal)) blocks.push(block);
    });
  } catch (error) {
    return ignoreStatus(STATUS.noSuchFile)(error);
  }
  return Buffer.concat(blocks).toString('utf8');
}

function noMarker(root: string): CofreError {
  return new CofreError(
    'not-mounted',
    `${root} on the server has no ${MARKER}: its volume is not mounted there, or it was never prepared`,
    {
      hint: 'look at the server; a new, empty folder is prepared by `cofre apply`',
    },
  );
}
