import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { lstat, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { nativeCode } from '../errors/error.ts';
import { startTimeOf } from '../processes/group-records.ts';

/** No key begins with a dot, so these names never meet an object's. */
const NAME = /^\.tmp-([0-9a-f]{12}-[0-9]+-[0-9]+)-[0-9a-f]{12}$/;

/** A put writes all the time; a temporary that did not change for so long belongs to nobody who is alive. */
const ABANDONED_AFTER_MS = 15 * 60_000;

/**
 * Where process numbers mean the same: this boot and this process namespace. Two containers on one host, or two hosts on
 * one network volume, may both have a process 7.
 */
const MACHINE = createHash('sha256')
  .update(readFileSync('/proc/sys/kernel/random/boot_id'))
  .update(readlinkSync('/proc/self/ns/pid'))
  .digest('hex')
  .slice(0, 12);

/** A name that no other put has or ever had, and that says whose it is. */
export function temporaryName(): string {
  return `.tmp-${ownerMark()}-${randomBytes(6).toString('hex')}`;
}

/** This process, among all of all machines: for the names of what it may leave behind. */
export function ownerMark(): string {
  return `${MACHINE}-${process.pid}-${startTimeOf(process.pid)}`;
}

/** Whether the process of an `ownerMark` is gone for certain; false also where nobody here can tell. */
export function isDead(mark: string): boolean {
  const [machine, pid, startTime] = mark.split('-');
  return machine === MACHINE && startTimeOf(Number(pid)) !== startTime;
}

export function isTemporary(name: string): boolean {
  return NAME.test(name);
}

/**
 * Removes what puts that were killed left in a folder. To remove too much costs that put a new try and nothing else: its
 * name is never used again, so its `link` to the final name fails. So the decision may lean on time.
 * `nowMs` is the file system's clock (the change time of a file just written): that of another host may differ.
 */
export async function removeAbandoned(folder: string, nowMs: number): Promise<void> {
  for (const name of await readdir(folder)) {
    const [, mark] = NAME.exec(name) ?? [];
    if (mark === undefined) continue;
    const path = join(folder, name);
    if (isDead(mark) || (await isOld(path, nowMs))) await rm(path, { force: true });
  }
}

async function isOld(path: string, nowMs: number): Promise<boolean> {
  try {
    return nowMs - (await lstat(path)).mtimeMs > ABANDONED_AFTER_MS;
  } catch (error) {
    // Its put has just finished.
    if (nativeCode(error) === 'ENOENT') return false;
    throw error;
  }
}
