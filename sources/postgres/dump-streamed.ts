import { open, rename } from 'node:fs/promises';
import { join } from 'node:path';

import { CofreError } from '../../errors/error.ts';
import { startTool, type Tool } from '../../processes/tool.ts';
import { STREAMED_FILE } from './archive-files.ts';
import { DataScript, type ScriptContent } from './data-script.ts';
import type { DumpedData, RunningDump, RunPgDump } from './dump.ts';
import { digestOfList } from './raw-digest.ts';
import { parseTableData, type TableData } from './table-data.ts';
import { finishWatched } from './watch-tools.ts';

/** Dumps through zstd into one file, which is not yet under its name. */
export async function dumpStreamed(request: RunningDump, run: RunPgDump): Promise<string[]> {
  const file = await open(partPath(request), 'w', 0o600);
  try {
    const compress: Tool = { name: 'zstd', path: 'zstd', args: ['-3', '-q', '-c', `-T${request.jobs}`] };
    const warnings = await run(['--format=custom'], (pgDump) => {
      const dumping = startTool(pgDump, { stdout: 'pipe' }, request);
      return [dumping, startTool(compress, { stdin: dumping, stdout: file.fd }, request)];
    });
    await file.sync();
    return warnings;
  } finally {
    await file.close();
  }
}

/**
 * Reads the dump back once: that gives rows and hashes of its own data without a second load on the server, and proves
 * that the file can be read. Only then it gets its name, so a file of that name is a whole dump.
 */
export async function readStreamedDump(request: RunningDump): Promise<DumpedData> {
  const listed = await listTableData(request);
  const { tables, largeObjects } = await readScript(request);
  if (tables.length !== listed.length) {
    throw new CofreError('bad-content', `the dump lists ${listed.length} tables and has data of ${tables.length}`);
  }
  await rename(partPath(request), join(request.directory, STREAMED_FILE));
  return {
    tables: tables.map(({ rows, rawBytes, sha256 }, index) => ({
      oid: listed[index]?.oid ?? 0,
      rows,
      rawBytes,
      rawSha256: sha256,
      file: null,
    })),
    largeObjects: {
      count: largeObjects.length,
      rawBytes: largeObjects.reduce((sum, { rawBytes }) => sum + rawBytes, 0),
      sha256: largeObjects.length === 0 ? null : digestOfList(largeObjects),
    },
  };
}

function partPath({ directory }: RunningDump): string {
  return join(directory, `${STREAMED_FILE}.part`);
}

const DECOMPRESS: Tool = { name: 'zstd', path: 'zstd', args: ['-d', '-q', '-c'] };

async function listTableData(request: RunningDump): Promise<TableData[]> {
  const file = await open(partPath(request), 'r');
  try {
    const zstd = startTool(DECOMPRESS, { stdin: file.fd, stdout: 'pipe' }, request);
    const pgRestore: Tool = { name: 'pg_restore', path: request.clients.pgRestore, args: ['--list'] };
    const listing = startTool(pgRestore, { stdin: zstd, stdout: 'pipe' }, request);
    let list = '';
    for await (const text of listing.stdout.setEncoding('latin1')) list += text as string;
    await listing.done;
    // The list stands at the front: zstd was not read to its end, and need not be.
    zstd.kill();
    await zstd.done.catch(() => undefined);
    return parseTableData(list);
  } finally {
    await file.close();
  }
}

async function readScript(request: RunningDump): Promise<ScriptContent> {
  const file = await open(partPath(request), 'r');
  try {
    const zstd = startTool(DECOMPRESS, { stdin: file.fd, stdout: 'pipe' }, request);
    const args = ['--section=data', '--file=-'];
    const pgRestore = startTool(
      { name: 'pg_restore', path: request.clients.pgRestore, args },
      { stdin: zstd, stdout: 'pipe' },
      request,
    );
    const script = new DataScript();
    const reading = (async () => {
      for await (const chunk of pgRestore.stdout) script.update(chunk as Buffer);
    })();
    await Promise.all([reading, finishWatched([zstd, pgRestore], { stallMs: request.stallMs })]);
    return script.finish();
  } finally {
    await file.close();
  }
}
