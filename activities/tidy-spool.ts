import { lstat, readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';

import { isBackupId } from '../catalog/backup-id.ts';
import { backupsLeft, restoresLeft, type BackupLeft } from '../catalog/left-behind.ts';
import type { Queries } from '../catalog/open.ts';
import { messageOf, nativeCode } from '../errors/error.ts';
import type { Spool } from './spool.ts';

/** What was done about what runs have left behind, in words. */
export interface Tidied {
  readonly removed: readonly string[];
  /** What stays, and why: somebody should know. */
  readonly kept: readonly string[];
}

const DAY_MS = 86_400_000;

/**
 * Removes from the spool what runs have left there that ended without doing so: terminated ones, and those of a Temporal
 * that is lost. What belongs to a run that is open is left alone, and nothing is removed that may be the only copy.
 */
export async function tidySpool(spool: Spool, catalog: Queries, now = Date.now()): Promise<Tidied> {
  // The folders first, and then what the catalog says of them: a run that begins in between is not looked at.
  const folders: { environment: string; id: string }[] = [];
  for (const environment of await spool.entries()) {
    for (const id of await spool.entries(environment)) folders.push({ environment, id });
  }
  const ids = folders.map(({ id }) => id);
  const backups = await backupsLeft(catalog, ids);
  const restores = await restoresLeft(catalog, ids);
  const removed: string[] = [];
  const kept: string[] = [];
  for (const { environment, id } of folders) {
    const content = await contentOf(spool, environment, id);
    if (content === undefined) continue;
    const judged = isBackupId(id)
      ? verdictOnBackup(ofEnvironment(backups.get(id), environment), content, now)
      : isRestoreId(id)
        ? verdictOnRestore(ofEnvironment(restores.get(id), environment), content, now)
        : ({ verdict: 'keep', why: 'somebody else has put it there' } as const);
    const left = judged.verdict === 'remove' ? await remove(spool, environment, id) : judged;
    if (left.verdict === 'remove') removed.push(`${environment}/${id}`);
    if (left.verdict === 'keep') kept.push(`${spool.path}/${environment}/${id}: ${left.why}`);
  }
  return { removed, kept };
}

/** What cannot be removed must not keep the rest from being looked at. */
async function remove(spool: Spool, environment: string, id: string): Promise<Verdict> {
  try {
    await spool.remove(environment, id);
    return { verdict: 'remove' };
  } catch (error) {
    return { verdict: 'keep', why: `it cannot be removed: ${messageOf(error)}` };
  }
}

type Verdict = { readonly verdict: 'remove' | 'leave' } | { readonly verdict: 'keep'; readonly why: string };

interface Content {
  /** A finished dump, and a finished archive. */
  readonly dump: boolean;
  readonly archive: boolean;
  readonly changedAt: number;
}

/** `archive` without a verified copy anywhere, of this or a later backup, is the only copy there is. */
function verdictOnBackup(row: BackupLeft | undefined, { dump, archive, changedAt }: Content, now: number): Verdict {
  if (row === undefined) {
    if (dump || archive) return { verdict: 'keep', why: 'a finished dump that the catalog does not know' };
    return { verdict: now - changedAt > DAY_MS ? 'remove' : 'leave' };
  }
  if (row.state === 'running') return { verdict: 'leave' };
  const wanted = row.errorCode !== 'cancelled' && row.state !== 'deleting' && row.state !== 'deleted';
  if (!archive || !wanted || row.verified || row.overtaken) return { verdict: 'remove' };
  return {
    verdict: 'keep',
    why: 'the only copy of this backup; it goes when a later one of the environment is verified',
  };
}

/** What a restore fetched is a copy of something that is elsewhere. */
function verdictOnRestore(row: { running: boolean } | undefined, { changedAt }: Content, now: number): Verdict {
  if (row === undefined) return { verdict: now - changedAt > DAY_MS ? 'remove' : 'leave' };
  return { verdict: row.running ? 'leave' : 'remove' };
}

/** As `newRestoreId` makes them. */
function isRestoreId(id: string): boolean {
  return id.startsWith('r') && isBackupId(id.slice(1));
}

function ofEnvironment<T extends { environment: string }>(row: T | undefined, environment: string): T | undefined {
  return row?.environment === environment ? row : undefined;
}

/** undefined: its run has removed it meanwhile, or what is there is no folder of a run. */
async function contentOf(spool: Spool, environment: string, id: string): Promise<Content | undefined> {
  try {
    const folder = spool.folder(environment, id);
    const entries = await readdir(folder, { recursive: true });
    const times = await Promise.all(
      [folder, ...entries.map((entry) => join(folder, entry))].map((path) => lstat(path)),
    );
    const has = (file: string): boolean => entries.some((entry) => basename(entry) === file);
    return {
      dump: has('dump.json'),
      archive: has('manifest.json'),
      changedAt: Math.max(...times.map(({ mtimeMs }) => mtimeMs)),
    };
  } catch (error) {
    if (nativeCode(error) === 'ENOENT' || nativeCode(error) === 'ENOTDIR') return undefined;
    throw error;
  }
}
