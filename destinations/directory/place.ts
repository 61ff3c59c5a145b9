import { readdir, stat } from 'node:fs/promises';

import { CofreError, nativeCode } from '../../errors/error.ts';
import { MARKER } from '../marker.ts';
import type { Place, PlaceState } from '../place.ts';
import { prepareDirectory, requireMarker } from './marker.ts';

/** A folder that is, or is to be, a destination. */
export function directoryPlace(path: string): Place {
  return {
    what: `the folder ${path}`,
    hints: {
      missing: 'mount the volume or make the folder',
      empty: 'look whether its volume is mounted',
    },
    state: () => folderState(path),
    identities: () => identitiesOf(path),
    prepare: (options) => prepareDirectory(path, options),
  };
}

async function folderState(path: string): Promise<PlaceState> {
  let names: string[];
  try {
    names = await readdir(path);
  } catch (cause) {
    if (nativeCode(cause) === 'ENOENT' || nativeCode(cause) === 'ENOTDIR') return 'missing';
    throw new CofreError('access-denied', `the folder ${path} cannot be read on this machine`, {
      cause,
      hint: 'the user that runs Cofre must own the folder',
    });
  }
  try {
    await requireMarker(path);
    return 'prepared';
  } catch (error) {
    if (!(error instanceof CofreError) || error.code !== 'not-mounted') throw error;
  }
  if (names.includes(MARKER)) return 'foreign';
  return names.some((name) => name !== 'lost+found') ? 'not-empty' : 'empty';
}

/** The folder itself, and its marker: one share that is mounted twice has two folders. None where there is no folder. */
async function identitiesOf(path: string): Promise<string[]> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return [];
  const marker = await requireMarker(path).catch(() => undefined);
  return [`${found.dev}:${found.ino}`, ...(marker === undefined ? [] : [marker])];
}
