import { posix } from 'node:path';
import { createInterface } from 'node:readline';

import { z } from 'zod';

import { CofreError } from '../../errors/error.ts';
import type { RcloneRemote } from './remote.ts';

/** A file of a remote, as `rclone lsjson` tells it. */
export interface Entry {
  /** Below the folder that was asked for. */
  readonly path: string;
  readonly sizeBytes: number;
  readonly isFolder: boolean;
  /** Only where the service gives its files ids, and so may have several of one name. */
  readonly id: string | undefined;
  /** Only when they were asked for, and only those that the service knows. */
  readonly hashes: Readonly<Record<string, string>>;
}

const line = z.object({
  Path: z.string(),
  Size: z.number(),
  IsDir: z.boolean(),
  ID: z.string().optional(),
  Hashes: z.record(z.string(), z.string()).optional(),
});

const SHORT = ['--no-modtime', '--no-mimetype'];

/** What lies in a folder, not below it; undefined where there is none. */
export async function entriesIn(
  remote: RcloneRemote,
  folder: string,
  signal: AbortSignal | undefined,
  ...more: string[]
): Promise<Entry[] | undefined> {
  const found: Entry[] = [];
  try {
    for await (const entry of walk(remote, folder, signal, ...more)) found.push(entry);
  } catch (error) {
    if (error instanceof CofreError && error.code === 'not-found') return undefined;
    throw error;
  }
  return (await isThatFile(remote, folder, found, signal)) ? undefined : found;
}

/** Every file below a folder, as rclone finds them: it asks on while they are read. @throws CofreError `not-found`. */
export async function* filesBelow(
  remote: RcloneRemote,
  folder: string,
  signal: AbortSignal | undefined,
  ...more: string[]
): AsyncGenerator<Entry> {
  for await (const entry of walk(remote, folder, signal, '--recursive', '--files-only', ...more)) {
    if (!(await isThatFile(remote, folder, [entry], signal))) yield entry;
  }
}

/** rclone takes the name of a file for a folder with that one file. */
async function isThatFile(
  remote: RcloneRemote,
  folder: string,
  [entry]: readonly Entry[],
  signal: AbortSignal | undefined,
): Promise<boolean> {
  if (folder === '' || entry?.path !== posix.basename(folder)) return false;
  const name = remote.nameOf(`${folder}/${entry.path}`);
  const answer = await remote
    .ask(`to describe ${folder}`, ['lsjson', '--stat', ...SHORT, name], signal)
    .catch((error: unknown) => {
      if (error instanceof CofreError && error.code === 'not-found') return 'null';
      throw error;
    });
  return (JSON.parse(answer) as unknown) === null;
}

async function* walk(
  remote: RcloneRemote,
  folder: string,
  signal: AbortSignal | undefined,
  ...more: string[]
): AsyncGenerator<Entry> {
  const doing = `to list ${folder === '' ? 'its folder' : folder}`;
  const running = await remote.start(['lsjson', ...SHORT, ...more, remote.nameOf(folder)], { stdout: 'pipe' }, signal);
  try {
    for await (const text of createInterface({ input: running.stdout })) {
      if (!text.startsWith('{')) continue;
      const { Path, Size, IsDir, ID, Hashes = {} } = line.parse(JSON.parse(text.replace(/,$/, '')));
      yield { path: Path, sizeBytes: Size, isFolder: IsDir, id: ID, hashes: Hashes };
    }
    // A list that was cut short must not look like a whole one.
    await running.done;
    if (running.stderr.includes('search result INCOMPLETE')) throw incomplete(remote, doing);
  } catch (cause) {
    throw await remote.failure(cause, doing);
  } finally {
    running.kill();
  }
}

/** Drive says so of a search that it gave up, and rclone passes it on as one that succeeded. */
function incomplete(remote: RcloneRemote, doing: string): CofreError {
  return new CofreError(
    'destination-unavailable',
    `${remote.url} failed ${doing}: the service gave an incomplete list`,
  );
}
