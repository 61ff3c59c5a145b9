import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { CofreError } from '../../errors/error.ts';
import { captureTool, startTool } from '../../processes/tool.ts';
import { RAW_FOLDER } from './archive-files.ts';
import type { DumpedData, DumpWay, RunningDump, RunPgDump } from './dump.ts';
import { digestFiles } from './digest-files.ts';
import { digestOfList, type ListedFile, type RawContent } from './raw-digest.ts';
import { inMemberOrder, parseRawFile, type RawFile } from './raw-files.ts';
import { parseTableData } from './table-data.ts';

/** Dumps into `raw/`, a file for each table, and then reads each file once. */
export function stagedDump(request: RunningDump): DumpWay {
  return { write: (run) => dumpStaged(request, run), read: () => readStagedDump(request) };
}

async function dumpStaged(request: RunningDump, run: RunPgDump): Promise<string[]> {
  const raw = join(request.directory, RAW_FOLDER);
  // No sync: the hashes are taken next, so whatever a power cut may do to these files is found when the archive is read.
  const args = ['--format=directory', `--jobs=${request.jobs}`, '--no-sync', `--file=${raw}`];
  return run(args, (pgDump) => [startTool(pgDump, {}, request)]);
}

async function readStagedDump(request: RunningDump): Promise<DumpedData> {
  const raw = join(request.directory, RAW_FOLDER);
  const pgRestore = { name: 'pg_restore', path: request.clients.pgRestore, args: ['--list', raw] };
  const listed = parseTableData(await captureTool(pgRestore, request));

  const files = await listRawFiles(raw);
  const digests = await digestFiles(raw, files, request);
  const tables = listed.map(({ dumpId, oid }) => {
    const file = `${dumpId}.dat`;
    const { rows, rawBytes, sha256 } = digests.get(file) ?? incomplete(`${file} is missing`);
    return { oid, file, rows: rows ?? incomplete(`${file} ends early`), rawBytes, rawSha256: sha256 };
  });
  const dataFiles = files.filter(({ kind }) => kind === 'table').length;
  if (dataFiles !== listed.length) incomplete(`it has ${dataFiles} data files for ${listed.length} tables`);

  const largeObjects = files.filter(({ kind }) => kind === 'largeObject');
  const rawBytes = largeObjects.reduce((sum, { name }) => sum + (digests.get(name)?.rawBytes ?? 0), 0);
  return {
    tables,
    largeObjects: {
      count: largeObjects.length,
      rawBytes,
      sha256: largeObjects.length === 0 ? null : digestOfList(listOf(largeObjects, digests)),
    },
    tocSha256: digestOfList(
      listOf(
        files.filter(({ kind }) => kind === 'toc'),
        digests,
      ),
    ),
  };
}

async function listRawFiles(raw: string): Promise<RawFile[]> {
  const names = await readdir(raw);
  return inMemberOrder(names.map((name) => parseRawFile(name) ?? incomplete(`it has a file ${name} that no dump has`)));
}

function listOf(files: readonly RawFile[], digests: ReadonlyMap<string, RawContent>): ListedFile[] {
  return files.map(({ name }) => ({ name, sha256: digests.get(name)?.sha256 ?? incomplete(`${name} is missing`) }));
}

function incomplete(what: string): never {
  throw new CofreError('bad-content', `pg_dump ended well, but its dump is not complete: ${what}`, {
    hint: 'check the disk of the spool, then start the backup again',
  });
}
