import { readdir, stat } from 'node:fs/promises';

import type { Config } from '../../config/schema.ts';
import { MARKER, requireMarker } from '../../destinations/directory-marker.ts';
import { sees } from '../../activities/plans.ts';
import { samePlace } from '../../activities/source.ts';
import { CofreError, nativeCode } from '../../errors/error.ts';

/** What a destination's folder looks like from this machine. */
export type FolderState = 'prepared' | 'empty' | 'not-empty' | 'missing' | 'foreign';

export interface FolderStep {
  readonly destination: string;
  readonly path: string;
  readonly state: FolderState;
  /** Written now: it is new in this version, and an empty folder is there. */
  readonly prepare: boolean;
}

/**
 * The destinations that this machine sees and that are not ready. One that is not new is never prepared by itself:
 * an empty folder may be the mount point of a volume that is not mounted just now.
 * @throws CofreError `bad-config` when two of them are one folder.
 */
export async function planFolders(
  config: Pick<Config, 'destinations'>,
  host: string | undefined,
  formerPaths: Readonly<Record<string, string | undefined>>,
): Promise<FolderStep[]> {
  const [same] = await sameFolders(config, host);
  if (same !== undefined) throw samePlace(...same);
  const steps: FolderStep[] = [];
  for (const [destination, settings] of Object.entries(config.destinations)) {
    if (settings.shared !== true && (host === undefined || !sees(host, settings))) continue;
    const state = await folderState(settings.path);
    const isNew = formerPaths[destination] !== settings.path;
    if (state !== 'prepared')
      steps.push({ destination, path: settings.path, state, prepare: isNew && state === 'empty' });
  }
  return steps;
}

/** Pairs of destinations that are one folder on this machine, by a link or a mount, whatever their paths look like. */
export async function sameFolders(
  { destinations }: Pick<Config, 'destinations'>,
  host: string | undefined,
): Promise<[string, string][]> {
  const known = new Map<string, string>();
  const pairs: [string, string][] = [];
  for (const [name, settings] of Object.entries(destinations)) {
    if (settings.shared !== true && (host === undefined || !sees(host, settings))) continue;
    const ids = await identitiesOf(settings.path);
    const other = ids.map((id) => known.get(id)).find((found) => found !== undefined);
    if (other !== undefined) pairs.push([other, name]);
    for (const id of ids) known.set(id, known.get(id) ?? name);
  }
  return pairs;
}

/** The folder itself, and its marker: one share that is mounted twice has two folders. None where there is no folder. */
async function identitiesOf(path: string): Promise<string[]> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return [];
  const marker = await requireMarker(path).catch(() => undefined);
  return [`${found.dev}:${found.ino}`, ...(marker === undefined ? [] : [marker])];
}

/** Looks at a folder and changes nothing. @throws CofreError where it cannot be read. */
export async function folderState(path: string): Promise<FolderState> {
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

/** What to do about a folder that is not ready, in words. */
export function folderInWords(step: FolderStep): string {
  if (step.prepare) return `prepare the folder ${step.path} of the destination ${step.destination}`;
  const { message, hint } = folderTrouble(step);
  return `${message}: ${hint}`;
}

/** What is wrong with a folder that is not prepared, and how to mend it. */
export function folderTrouble({ destination, path, state }: Omit<FolderStep, 'prepare'>): {
  message: string;
  hint: string;
} {
  const folder = `the folder ${path} of the destination ${destination}`;
  const prepare = `cofre destination prepare ${destination}`;
  switch (state) {
    case 'missing':
      return { message: `${folder} is not there`, hint: `mount the volume or make the folder, then ${prepare}` };
    case 'empty':
      return { message: `${folder} is empty`, hint: `look whether its volume is mounted; if it is, ${prepare}` };
    case 'not-empty':
      return {
        message: `${folder} holds other things`,
        hint: `look whether it is the right one; if it is, ${prepare} --force`,
      };
    case 'foreign':
      return { message: `${folder} was prepared by something else`, hint: 'look what is mounted there' };
    case 'prepared':
      return { message: `${folder} is ready`, hint: 'nothing to do' };
  }
}
