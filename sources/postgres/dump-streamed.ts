import { open, rename } from 'node:fs/promises';
import { join } from 'node:path';

import { CofreError } from '../../errors/error.ts';
import { startTool, type Tool } from '../../processes/tool.ts';
import { STREAMED_FILE, UNWRAP } from './archive-files.ts';
import { largeObjectContent, type ScriptContent } from './data-script.ts';
import { decodeStreamed } from './decode-streamed.ts';
import type { DumpedData, DumpWay, RunningDump } from './dump.ts';
import { followFile } from './follow-file.ts';
import { parseTableData, type TableData } from './table-data.ts';
import { finishWatched } from './watch-tools.ts';

/**
 * Dumps through zstd into one file, and reads it back while it is being written: that gives rows and hashes of its own
 * data without a second load on the server, and proves that the file can be read. Only then it gets its name, so a file of
 * that name is a whole dump.
 */
export function streamedDump(request: RunningDump): DumpWay {
  const whole = new AbortController();
  const stop = new AbortController();
  let reading: Promise<ScriptContent> | undefined;
  return {
    write: async (run) => {
      const file = await open(partPath(request), 'w', 0o600);
      try {
        const compress: Tool = { name: 'zstd', path: 'zstd', args: ['-3', '-q', '-c', `-T${request.jobs}`] };
        const warnings = await run(['--format=custom'], (pgDump) => {
          const dumping = startTool(pgDump, { stdout: 'pipe' }, request);
          const compressing = startTool(compress, { stdin: dumping, stdout: file.fd }, request);
          reading = readBack(request, whole.signal, stop);
          reading.catch(() => undefined); // What it says is asked for when the dump is whole.
          return [dumping, compressing];
        });
        await file.sync();
        return warnings;
      } catch (error) {
        stop.abort();
        await reading?.catch(() => undefined);
        throw error;
      } finally {
        await file.close();
      }
    },
    read: async () => {
      whole.abort();
      const script = await reading;
      if (script === undefined) throw new Error('nothing was dumped');
      const data = toData(script, await listTableData(request));
      await rename(partPath(request), join(request.directory, STREAMED_FILE));
      return data;
    },
  };
}

async function readBack(request: RunningDump, whole: AbortSignal, stop: AbortController): Promise<ScriptContent> {
  const signal = request.signal === undefined ? stop.signal : AbortSignal.any([request.signal, stop.signal]);
  return await decodeStreamed(
    { records: request.records, clients: request.clients, signal, stop: () => stop.abort(), wrapping: 'zstd' },
    async (write) => {
      for await (const piece of followFile(partPath(request), whole, signal)) await write(piece);
    },
    // Until all is written it moves as slowly as pg_dump, which has a watch of its own.
    (tools) => finishWatched(tools, { stallMs: request.stallMs }),
  );
}

function toData({ tables, largeObjects }: ScriptContent, listed: readonly TableData[]): DumpedData {
  if (tables.length !== listed.length) {
    throw new CofreError('bad-content', `the dump lists ${listed.length} tables and has data of ${tables.length}`);
  }
  return {
    tables: tables.map(({ rows, rawBytes, sha256 }, index) => ({
      oid: listed[index]?.oid ?? 0,
      rows,
      rawBytes,
      rawSha256: sha256,
      file: null,
    })),
    largeObjects: largeObjectContent(largeObjects),
  };
}

function partPath({ directory }: RunningDump): string {
  return join(directory, `${STREAMED_FILE}.part`);
}

async function listTableData(request: RunningDump): Promise<TableData[]> {
  const file = await open(partPath(request), 'r');
  try {
    const zstd = startTool(UNWRAP.zstd, { stdin: file.fd, stdout: 'pipe' }, request);
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
