import { mkdir, open, readdir, rename, rm, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';

import { CofreError } from '../../errors/error.ts';
import {
  captureTool,
  startTool,
  ToolFailure,
  type RunningTool,
  type Tool,
  type ToolContext,
} from '../../processes/tool.ts';
import { UNWRAP } from './archive-files.ts';
import { readDumpHead } from './dump-head.ts';

/** staged and streamed are Cofre's own; legacy is what the old jobs wrote. */
export type ArchiveFormat = 'staged' | 'streamed' | 'legacy';

/** An archive that pg_restore can read: regular files only (from 15.19 on it refuses anything else). */
export interface OpenArchive {
  readonly path: string;
  readonly format: 'directory' | 'custom';
}

export interface OpenRequest extends ToolContext {
  /** The fetched and decrypted object; it is read only. */
  readonly file: string;
  readonly format: ArchiveFormat;
  /** A folder of this step alone: emptied first, so that a retry starts clean. The caller removes it. */
  readonly directory: string;
  readonly jobs: number;
  /** Called about once a second with the bytes written so far. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
}

const MEMBER = /^(toc\.dat|blobs(_[0-9]+)?\.toc|[0-9]+\.dat(\.zst)?|blob_[0-9]+\.dat(\.zst)?)$/;
const PROGRESS_MS = 1000;
/** One process takes many small files: thousands of tables must not cost a process each. */
const BATCH_BYTES = 32 * 1024 * 1024;
const BATCH_FILES = 1000;

/** How many bytes `openArchive` needs in its folder at most; `rawBytes` null (a legacy dump) makes it an estimate. */
export function archiveSpaceBytes(archive: {
  format: ArchiveFormat;
  sizeBytes: number;
  rawBytes: number | null;
}): number {
  // A file that was compressed when it was dumped grows little when the gzip around it is taken off.
  const rawBytes = archive.rawBytes ?? Math.ceil(archive.sizeBytes * 1.2);
  // A tar is unpacked first, and each member gives back its compressed bytes only after it was decompressed.
  return archive.format === 'staged' ? rawBytes + archive.sizeBytes : rawBytes;
}

/**
 * Unpacks and decompresses an archive into regular files.
 * @throws CofreError `bad-content` for what is damaged or no such archive, `no-space` when the folder is full.
 */
export async function openArchive(request: OpenRequest): Promise<OpenArchive> {
  await rm(request.directory, { recursive: true, force: true });
  await mkdir(request.directory, { recursive: true, mode: 0o700 });
  const timer = setInterval(() => void reportProgress(request), PROGRESS_MS);
  try {
    return request.format === 'staged' ? await openStaged(request) : await openFile(request);
  } catch (error) {
    request.signal?.throwIfAborted();
    // Killed from outside (out of memory, a restart) says nothing about the archive.
    if (!(error instanceof ToolFailure) || / ended by SIG/.test(error.message)) throw error;
    const full = /No space left on device|Disk quota exceeded/.test(error.stderr) || (await isFull(request.directory));
    if (full)
      throw new CofreError('no-space', `there is no room to unpack the archive into ${request.directory}`, {
        cause: error,
      });
    throw new CofreError('bad-content', `the archive cannot be unpacked: ${error.message}`, {
      cause: error,
      hint: 'restore from another copy, and verify this one',
    });
  } finally {
    clearInterval(timer);
  }
}

async function openStaged(request: OpenRequest): Promise<OpenArchive> {
  await checkMembers(request);
  const args = ['--extract', `--file=${request.file}`, `--directory=${request.directory}`];
  const safe = ['--no-same-owner', '--no-same-permissions', '--keep-old-files', '--force-local'];
  await startTool({ name: 'tar', path: 'tar', args: [...args, ...safe] }, {}, request).done;
  await decompressMembers(request);
  return { path: request.directory, format: 'directory' };
}

/** Refuses a tar with anything but the regular files that a staged dump has: no links, devices or paths. */
async function checkMembers(request: OpenRequest): Promise<void> {
  const args = ['--list', '--verbose', '--quoting-style=escape', '--force-local', `--file=${request.file}`];
  const text = await captureTool({ name: 'tar', path: 'tar', args }, request);
  const lines = text.split('\n').filter((line) => line !== '');
  for (const line of lines) {
    if (!line.startsWith('-') || !MEMBER.test(line.slice(line.lastIndexOf(' ') + 1))) {
      throw new CofreError('bad-content', `the archive holds a member that no backup has: ${line.slice(0, 200)}`);
    }
  }
  const names = lines.map((line) => line.slice(line.lastIndexOf(' ') + 1).replace(/\.zst$/, ''));
  if (!names.includes('toc.dat') || new Set(names).size !== names.length) {
    throw new CofreError('bad-content', 'the archive has no table of contents, or a member twice');
  }
}

async function decompressMembers(request: OpenRequest): Promise<void> {
  const names = (await readdir(request.directory)).filter((name) => name.endsWith('.zst'));
  const files = await Promise.all(
    names.map(async (name) => ({ name, sizeBytes: (await stat(join(request.directory, name))).size })),
  );
  // The largest first: at the end no process is left alone with it.
  const batches = toBatches(files.sort((a, b) => b.sizeBytes - a.sizeBytes));
  const running = new Set<RunningTool>();
  const work = async (): Promise<void> => {
    for (let batch = batches.shift(); batch !== undefined; batch = batches.shift()) {
      // --rm: a compressed member goes as soon as it is decompressed, which is what `archiveSpaceBytes` counts on.
      const tool: Tool = {
        name: 'zstd',
        path: 'zstd',
        args: ['-d', '-q', '--rm', '--', ...batch],
        cwd: request.directory,
      };
      const zstd = startTool(tool, {}, request);
      running.add(zstd);
      await zstd.done;
      running.delete(zstd);
    }
  };
  const workers = Array.from({ length: Math.max(1, request.jobs) }, work);
  try {
    await Promise.all(workers);
  } catch (error) {
    // Nothing may go on writing into the folder after this has failed.
    batches.length = 0;
    for (const zstd of running) zstd.kill();
    await Promise.allSettled(workers);
    throw error;
  }
}

function toBatches(files: readonly { name: string; sizeBytes: number }[]): string[][] {
  const batches: { names: string[]; sizeBytes: number }[] = [];
  for (const { name, sizeBytes } of files) {
    const last = batches.at(-1);
    if (last !== undefined && last.sizeBytes + sizeBytes <= BATCH_BYTES && last.names.length < BATCH_FILES) {
      last.names.push(name);
      last.sizeBytes += sizeBytes;
    } else {
      batches.push({ names: [name], sizeBytes });
    }
  }
  return batches.map(({ names }) => names);
}

/** A custom-format dump, in whatever it is wrapped: told by its first bytes, not by its name. */
async function openFile(request: OpenRequest): Promise<OpenArchive> {
  const archive: OpenArchive = { path: join(request.directory, 'database.dump'), format: 'custom' };
  const { kind, wrapping } = await readDumpHead(request.file);
  if (kind !== 'archive') throw new CofreError('bad-content', `${request.file} is no archive that pg_restore reads`);
  if (wrapping === 'nothing') return { ...archive, path: request.file };
  const source = await open(request.file);
  const target = await open(`${archive.path}.part`, 'wx', 0o600);
  try {
    // Its exit code decides: only at the end of the stream does it know whether all of it was good.
    await startTool(UNWRAP[wrapping], { stdin: source.fd, stdout: target.fd }, request).done;
  } finally {
    await target.close();
    await source.close();
  }
  await rename(`${archive.path}.part`, archive.path);
  return archive;
}

async function isFull(directory: string): Promise<boolean> {
  const { bavail, bsize } = await statfs(directory);
  return bavail * bsize < 1024 * 1024;
}

async function reportProgress(request: OpenRequest): Promise<void> {
  if (request.onProgress === undefined) return;
  let bytes = 0;
  for (const name of await readdir(request.directory).catch(() => [])) {
    // zstd removes files while they are counted.
    bytes += await stat(join(request.directory, name)).then(
      ({ size }) => size,
      () => 0,
    );
  }
  request.onProgress(bytes);
}
