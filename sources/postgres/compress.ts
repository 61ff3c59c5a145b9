import { createReadStream } from 'node:fs';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, open, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { CofreError, nativeCode } from '../../errors/error.ts';
import { startTool, ToolFailure, type RunningTool, type Tool, type ToolContext } from '../../processes/tool.ts';
import { RAW_FOLDER, STAGED_FILE, STREAMED_FILE } from './archive-files.ts';
import { inTurns } from './in-turns.ts';
import { inMemberOrder, parseRawFile, type RawFile } from './raw-files.ts';
import { finishWatched } from './watch-tools.ts';

export interface CompressRequest extends ToolContext {
  /** The attempt's folder, as `dumpDatabase` left it. */
  readonly directory: string;
  readonly jobs: number;
  /** A folder of this process, for lists of files. */
  readonly scratch: string;
  readonly stallMs: number;
  /** About each second: raw bytes compressed so far. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
}

export interface Archive {
  readonly file: typeof STAGED_FILE | typeof STREAMED_FILE;
  readonly path: string;
  readonly sizeBytes: number;
  readonly sha256: string;
}

/** Smaller files stay as they are: a compressed one would hardly take less of the disk. */
const COMPRESSED_FROM_BYTES = 4096;
/** Larger files get all threads, one after the other; the others share the processes. */
const LARGE_BYTES = 256 * 1024 * 1024;
const READ_BYTES = 1024 * 1024;
const LOOKS_AT_ONCE = 16;

/**
 * Makes the archive of a finished dump: each larger data file compressed alone, all in one tar whose bytes depend only
 * on the dump. A streamed dump is an archive already and only hashed. May be killed at any instant and called again.
 * @throws CofreError `not-found` (no dump there), `no-space`, `tool-stalled`, `tool-failed`; `signal.reason`.
 */
export async function compressDump(request: CompressRequest): Promise<Archive> {
  const { directory } = request;
  if (await exists(join(directory, STREAMED_FILE))) return hashArchive(directory, STREAMED_FILE, request.signal);
  if (!(await exists(join(directory, STAGED_FILE)))) {
    try {
      await compressFiles(request);
      await makeTar(request);
    } catch (error) {
      throw toSpaceError(error, directory);
    }
  }
  // Only now: the archive has its name, and so is whole and on the disk.
  await rm(join(directory, RAW_FOLDER), { recursive: true, force: true });
  return hashArchive(directory, STAGED_FILE, request.signal);
}

async function compressFiles(request: CompressRequest): Promise<void> {
  const sizes = await findCompressible(request.directory);
  let doneBytes = 0;
  const run = async (batches: readonly (readonly string[])[], threads: number): Promise<void> => {
    let movedBytes = 0;
    await compressBatches(request, batches, threads, (bytes) => {
      movedBytes = bytes;
      request.onProgress?.(doneBytes + bytes);
    });
    doneBytes += movedBytes;
  };
  const large = sizes.filter(({ sizeBytes }) => sizeBytes >= LARGE_BYTES);
  if (large.length > 0) await run([large.map(({ name }) => name)], request.jobs);
  await run(
    balance(
      sizes.filter(({ sizeBytes }) => sizeBytes < LARGE_BYTES),
      request.jobs,
    ),
    1,
  );
}

async function findCompressible(directory: string): Promise<{ name: string; sizeBytes: number }[]> {
  const found: { name: string; sizeBytes: number }[] = [];
  await inTurns(await readRaw(directory), LOOKS_AT_ONCE, async (names) => {
    for (const name of names) {
      const file = parseRawFile(name);
      if (file === undefined || file.compressed || file.kind === 'toc') continue;
      const { size } = await stat(join(directory, RAW_FOLDER, name));
      if (size >= COMPRESSED_FROM_BYTES) found.push({ name, sizeBytes: size });
    }
  });
  return found;
}

/** One process for each batch, whatever the number of files in it. */
async function compressBatches(
  request: CompressRequest,
  batches: readonly (readonly string[])[],
  threads: number,
  onProgress: (bytes: number) => void,
): Promise<void> {
  if (batches.length === 0) return;
  await withListFiles(
    request.scratch,
    batches.map((names) => names.join('\n')),
    async (lists) => {
      const tools: RunningTool[] = [];
      for (const list of lists) {
        // --rm takes a raw file away only after its compressed one is complete: where both are, an earlier run was killed
        // in between, and -f writes the compressed one anew. With -T, even -T1, the number of threads changes no byte.
        const args = ['-3', '-q', '-f', '--rm', `-T${threads}`, '--filelist', list];
        tools.push(
          startTool({ name: 'zstd', path: 'zstd', args, cwd: join(request.directory, RAW_FOLDER) }, {}, request),
        );
      }
      await finishWatched(tools, { stallMs: request.stallMs, onProgress: ({ readBytes }) => onProgress(readBytes) });
    },
  );
}

/** The largest first, each to the process that has least. */
function balance(files: readonly { name: string; sizeBytes: number }[], jobs: number): string[][] {
  const batches = Array.from({ length: jobs }, () => ({ names: [] as string[], sizeBytes: 0 }));
  for (const { name, sizeBytes } of [...files].sort((a, b) => b.sizeBytes - a.sizeBytes)) {
    const least = batches.reduce((a, b) => (b.sizeBytes < a.sizeBytes ? b : a));
    least.names.push(name);
    least.sizeBytes += sizeBytes;
  }
  return batches.map(({ names }) => names).filter((names) => names.length > 0);
}

/** Everything that could differ between two runs on the same files is set: order, times, owner, mode. */
const TAR_ARGS = [
  ...['--create', '--format=gnu', '--no-recursion', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner'],
  ...['--mode=0644', '--hard-dereference', '--null', '--verbatim-files-from'],
];

async function makeTar(request: CompressRequest): Promise<void> {
  const names = await readRaw(request.directory);
  const files = inMemberOrder(names.map((name) => parseRawFile(name) ?? unknownFile(name)));
  const members = files.map(memberName).join('\0');
  const path = join(request.directory, STAGED_FILE);
  await withListFiles(request.scratch, [members], async ([list]) => {
    const target = await open(`${path}.part`, 'w', 0o600);
    try {
      const args = [...TAR_ARGS, `--files-from=${list}`, '--file=-'];
      const tar: Tool = { name: 'tar', path: 'tar', args, cwd: join(request.directory, RAW_FOLDER) };
      await finishWatched([startTool(tar, { stdout: target.fd }, request)], { stallMs: request.stallMs });
      await target.sync();
    } finally {
      await target.close();
    }
  });
  // The name says that it is whole; it must be on the disk before what it was made of is removed.
  await rename(`${path}.part`, path);
  await syncFolder(request.directory);
}

function memberName({ name, compressed }: RawFile): string {
  return compressed ? `${name}.zst` : name;
}

function unknownFile(name: string): never {
  throw new CofreError('bad-content', `the dump has a file ${name} that no dump has`);
}

async function readRaw(directory: string): Promise<string[]> {
  try {
    return await readdir(join(directory, RAW_FOLDER));
  } catch (error) {
    if (nativeCode(error) !== 'ENOENT') throw error;
    throw new CofreError('not-found', `there is no dump in ${directory}`, {
      cause: error,
      hint: 'the dump must be made again',
    });
  }
}

/** Lists go to the tools as files: arguments have a limit that a database of many tables exceeds. */
async function withListFiles(
  scratch: string,
  texts: readonly string[],
  use: (paths: string[]) => Promise<void>,
): Promise<void> {
  await mkdir(scratch, { recursive: true, mode: 0o700 });
  const folder = await mkdtemp(join(scratch, 'list-'));
  try {
    const paths = texts.map((_, index) => join(folder, String(index)));
    for (const [index, path] of paths.entries()) await writeFile(path, texts[index] ?? '');
    await use(paths);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function hashArchive(directory: string, file: Archive['file'], signal?: AbortSignal): Promise<Archive> {
  const path = join(directory, file);
  const hash = createHash('sha256');
  let sizeBytes = 0;
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: READ_BYTES, signal })) {
      hash.update(chunk as Buffer);
      sizeBytes += (chunk as Buffer).length;
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
  return { file, path, sizeBytes, sha256: hash.digest('hex') };
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

export async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (nativeCode(error) === 'ENOENT') return false;
    throw error;
  }
}

/** A full disk by its name; every other failure as it is. */
export function toSpaceError(error: unknown, directory: string): unknown {
  const full = error instanceof ToolFailure && /No space left on device|Disk quota exceeded/.test(error.stderr);
  if (!full && nativeCode(error) !== 'ENOSPC') return error;
  return new CofreError('no-space', `there is no room to compress the dump in ${directory}`, {
    cause: error,
    hint: 'make room in the spool; the step goes on where it stopped',
  });
}
