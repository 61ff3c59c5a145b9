import { realpath, stat } from 'node:fs/promises';
import { relative, sep } from 'node:path';

import { isBackupId } from '../catalog/backup-id.ts';
import type { Catalog } from '../catalog/open.ts';
import { CofreError, nativeCode } from '../errors/error.ts';
import { readApplied } from './applied.ts';
import type { Spool } from './spool.ts';

/** A dump that another job made, where it really lies. */
export interface DumpFile {
  readonly path: string;
  readonly sizeBytes: number;
}

/**
 * Finds a dump that is to be restored by its path; links are followed, and what counts is where they lead. Cofre's own
 * backups, and what lies in the spool, are of one environment each: by path they could be brought into any other.
 * @throws CofreError `not-found`, `refused`.
 */
export async function findDumpFile(
  { catalog, spool }: { readonly catalog: Catalog; readonly spool: Spool },
  given: string,
): Promise<DumpFile> {
  const path = await realPath(given);
  const found = path === undefined ? undefined : await stat(path).catch(ignoreMissing);
  if (path === undefined || found?.isFile() !== true) {
    throw new CofreError('not-found', `there is no readable file ${given} on this host`, {
      hint: 'give the path as the worker of the host sees it, readable by its user',
    });
  }
  if (inside((await realPath(spool.path)) ?? spool.path, path) !== undefined) {
    throw refusal(given, 'lies in the spool, where work of other runs is in progress');
  }
  const { config } = await readApplied(catalog);
  for (const [name, destination] of Object.entries(config.destinations)) {
    if (destination.type !== 'directory') continue;
    const [, backupId = ''] = inside((await realPath(destination.path)) ?? destination.path, path) ?? [];
    if (isBackupId(backupId)) throw refusal(given, `belongs to the backup ${backupId} in the destination ${name}`);
  }
  return { path, sizeBytes: found.size };
}

async function realPath(path: string): Promise<string | undefined> {
  return await realpath(path).catch(ignoreMissing);
}

/** The way from `folder` to a file in it; undefined for one elsewhere. */
function inside(folder: string, path: string): string[] | undefined {
  const steps = relative(folder, path).split(sep);
  return steps[0] === '..' ? undefined : steps;
}

function ignoreMissing(error: unknown): undefined {
  if (['ENOENT', 'ENOTDIR', 'EACCES', 'ELOOP', 'ENAMETOOLONG'].includes(nativeCode(error) ?? '')) return undefined;
  throw error;
}

function refusal(path: string, why: string): CofreError {
  return new CofreError('refused', `${path} ${why}: it is no dump of another job`, {
    hint: 'a backup of Cofre is restored by its id: cofre restore --backup ID --to ENV',
  });
}
