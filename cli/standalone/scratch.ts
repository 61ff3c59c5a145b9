import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { serverReference } from '../../activities/resolve-backup.ts';
import { adminOf, shortId } from '../../activities/restore-target.ts';
import { Spool } from '../../activities/spool.ts';
import type { Config } from '../../config/schema.ts';
import { CofreError, messageOf, nativeCode } from '../../errors/error.ts';
import { endRecordedGroups, startTimeOf } from '../../processes/group-records.ts';
import { makePrivateFolder } from '../../processes/own-folder.ts';
import { discardLeftover, findLeftovers } from '../../sources/postgres/create-database.ts';
import { waitForPredecessor } from '../up/predecessor.ts';

/**
 * A call's own folder is named by its process and when that started, which tells whether it still lives. What another call that
 * was killed has left is in its folder, too: the spool there knows the restores that it had begun.
 */
const OWN_FOLDER = /^([0-9]+)-([0-9]+)$/;

/** A catalog that is new, and a Temporal. The restore itself asks for the room of the backup. */
const OWN_BYTES = 100_000_000;
const ELSEWHERE = 'name another one, in a file system with room for the backup: --folder DIR';

/** Makes a folder that only this user can enter for one call, below `base`. @throws CofreError `access-denied`, `no-space` */
export async function makeScratch(base: string): Promise<string> {
  const folder = join(base, `${process.pid}-${startTimeOf(process.pid) ?? '0'}`);
  try {
    await makePrivateFolder(base);
    await mkdir(folder, { mode: 0o700 });
  } catch (cause) {
    if (cause instanceof CofreError) throw cause;
    throw new CofreError('access-denied', `the folder ${folder} cannot be made: ${messageOf(cause)}`, {
      cause,
      hint: ELSEWHERE,
    });
  }
  try {
    await new Spool(folder, '1%').requireRoom(OWN_BYTES, 'what this call serves for itself');
    return folder;
  } catch (error) {
    await removeScratch(folder);
    if (!(error instanceof CofreError)) throw error;
    throw new CofreError(error.code, error.message, { cause: error, hint: ELSEWHERE });
  }
}

export async function removeScratch(folder: string): Promise<void> {
  // A server that has just ended may still have a last process that writes.
  await rm(folder, { recursive: true, force: true, maxRetries: 10 });
}

/**
 * Removes what calls that were killed have left: half-loaded databases and logins on the servers, then the folders. What
 * cannot be removed now stays, is told, and keeps nobody from restoring.
 */
export async function removeEarlier(base: string, config: Config, tell: (text: string) => void): Promise<void> {
  for (const name of await foldersIn(base)) {
    const [, pid, startTime] = OWN_FOLDER.exec(name) ?? [];
    if (pid === undefined) continue;
    const folder = join(base, name);
    if (startTimeOf(Number(pid)) === startTime) {
      tell(`note: another restore runs in ${folder}, as process ${pid}`);
      continue;
    }
    try {
      await waitForPredecessor(folder);
      for (const removed of await removeFromServers(folder, config))
        tell(`removed ${removed}, left by a call that was killed`);
      await removeScratch(folder);
      tell(`removed ${folder}, left by a call that was killed`);
    } catch (error) {
      if (!(error instanceof CofreError)) throw error;
      tell(`note: ${folder}, left by a call that was killed, stays: ${error.message}`);
    }
  }
}

async function removeFromServers(folder: string, config: Config): Promise<string[]> {
  const spool = new Spool(join(folder, 'spool'), '1%');
  endRecordedGroups(spool.records);
  const removed: string[] = [];
  for (const id of await spool.entries()) {
    const environment = config.environments[id];
    const restores = await spool.entries(id);
    const server = environment && config.servers[environment.database.server];
    if (server === undefined || restores.length === 0) continue;
    const admin = await adminOf(serverReference(environment?.database.server ?? '', server));
    const ids = restores.map((restoreId) => shortId({ restoreId }));
    const left = (await findLeftovers(admin)).filter((leftover) => ids.includes(leftover.id));
    // A database before its login, which owns it.
    for (const leftover of left.sort((one, other) => Number(one.database === null) - Number(other.database === null))) {
      await discardLeftover(admin, leftover);
      removed.push(
        leftover.database === null ? `the login cofre_restore_${leftover.id}` : `the database ${leftover.database}`,
      );
    }
  }
  return removed;
}

async function foldersIn(base: string): Promise<string[]> {
  try {
    return await readdir(base);
  } catch (error) {
    if (nativeCode(error) === 'ENOENT') return [];
    throw new CofreError('access-denied', `the folder ${base} cannot be read: ${messageOf(error)}`, {
      cause: error,
      hint: 'name another one: --folder DIR',
    });
  }
}
