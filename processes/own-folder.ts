import { lstat, mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

import { CofreError, nativeCode } from '../errors/error.ts';

/**
 * Makes a folder for what nobody else may see, such as password files, or takes one that is.
 * @throws CofreError `access-denied` for a link, another user's folder, or one that others may look into.
 */
export async function makePrivateFolder(path: string): Promise<void> {
  await makeFolder(path);
  const found = await lstat(path);
  if (!found.isDirectory()) throw refusal(path, 'is not a folder but something else, such as a link');
  requireOwner(path, found.uid);
  // Also where the file system does not keep modes: PostgreSQL's tools would not read a password file there.
  if ((found.mode & 0o077) !== 0)
    throw refusal(path, `is open to others (mode ${modeOf(found)}), and passwords are kept there`);
}

/** Makes a folder in which others may look around at most. @throws CofreError `access-denied` */
export async function makeOwnFolder(path: string): Promise<void> {
  await makeFolder(path);
  const found = await stat(path);
  if (!found.isDirectory()) throw refusal(path, 'is not a folder but something else');
  requireOwner(path, found.uid);
  if ((found.mode & 0o022) !== 0) throw refusal(path, `can be written to by others (mode ${modeOf(found)})`);
}

/** With its parents; not by Node's own `recursive`, which never ends where a folder exists and takes no other in it, as in /proc. */
async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    if (nativeCode(error) === 'EEXIST') return;
    if (nativeCode(error) !== 'ENOENT' || dirname(path) === path) throw error;
    await makeFolder(dirname(path));
    await mkdir(path, { mode: 0o700 }).catch((again: unknown) => {
      if (nativeCode(again) !== 'EEXIST') throw again;
    });
  }
}

function requireOwner(path: string, uid: number): void {
  const us = process.geteuid?.() ?? uid;
  if (uid !== us) throw refusal(path, `belongs to another user (${uid}; this process runs as ${us})`);
}

function modeOf({ mode }: { mode: number }): string {
  return (mode & 0o777).toString(8);
}

function refusal(path: string, what: string): CofreError {
  return new CofreError('access-denied', `the folder ${path} ${what}`, {
    hint: `it must belong to the user that runs Cofre, mode 700, on a file system that keeps owners and modes: chown, chmod 700 ${path}`,
  });
}
