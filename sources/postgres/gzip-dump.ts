import { randomBytes } from 'node:crypto';
import { open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { CofreError } from '../../errors/error.ts';
import { startTool, type ToolContext } from '../../processes/tool.ts';
import { STREAMED_FILE, UNWRAP } from './archive-files.ts';
import { exists, toSpaceError } from './compress.ts';
import { finishWatched } from './watch-tools.ts';

export interface GzipRequest extends ToolContext {
  /** The attempt's folder, with a streamed dump in it. */
  readonly directory: string;
  /** Of the file that is made, and about how large it may become. */
  readonly name: string;
  readonly roomForBytes: number;
  /** Asked before for all of it, and about each second for the rest; what it throws ends the tools and is thrown. */
  readonly requireRoom: (bytes: number) => Promise<void>;
  readonly stallMs: number;
  /** About each second: compressed bytes that were read so far. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
}

/**
 * Makes of a streamed dump what the old jobs wrote: custom format through gzip at its usual level. The file has its name when it is
 * whole, on the disk, and was read in full by gzip. May be killed at any instant and called again. Gives its path.
 * @throws CofreError `no-space`, `bad-content`, `tool-stalled`, `tool-failed`; `signal.reason`.
 */
export async function gzipDump(request: GzipRequest): Promise<string> {
  const { directory, name } = request;
  const path = join(directory, name);
  if (await exists(path)) return path;
  // What a killed call left may hold the very room; one that was frozen finds its own gone when it wakes up.
  for (const left of await readdir(directory)) if (left.startsWith(`${name}.`)) await rm(join(directory, left));
  const part = `${path}.${randomBytes(4).toString('hex')}.part`;
  await request.requireRoom(request.roomForBytes);
  try {
    await compress(request, part);
    await prove(request, part);
    await rename(part, path);
    return path;
  } catch (error) {
    await rm(part, { force: true });
    throw toSpaceError(error, directory);
  }
}

async function compress(request: GzipRequest, part: string): Promise<void> {
  const source = await open(join(request.directory, STREAMED_FILE), 'r');
  try {
    const target = await open(part, 'wx', 0o600);
    try {
      const zstd = startTool(UNWRAP.zstd, { stdin: source.fd, stdout: 'pipe' }, request);
      // Without a time in it: another try makes the same bytes, and an upload that was interrupted goes on.
      const pack = { name: 'gzip', path: 'gzip', args: ['-n', '-c'] };
      const gzip = startTool(pack, { stdin: zstd, stdout: target.fd }, request);
      await finishWatched([zstd, gzip], {
        stallMs: request.stallMs,
        onProgress: ({ readBytes }) => request.onProgress?.(readBytes),
        check: async () => request.requireRoom(Math.max(request.roomForBytes - (await target.stat()).size, 0)),
      });
      await target.sync();
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
}

async function prove(request: GzipRequest, part: string): Promise<void> {
  const file = await open(part, 'r');
  try {
    if ((await file.stat()).size === 0) throw new CofreError('bad-content', 'gzip ended well and wrote nothing');
    const gzip = startTool({ name: 'gzip', path: 'gzip', args: ['-t', '-q'] }, { stdin: file.fd }, request);
    await finishWatched([gzip], { stallMs: request.stallMs });
  } finally {
    await file.close();
  }
}
