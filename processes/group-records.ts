import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { nativeCode } from '../errors/error.ts';

/**
 * Which process groups run on behalf of this worker: one small file each, `<pid>`, with the start time of the process.
 * The start time tells a group of ours from another process that was given the same number later.
 * Synchronous, because between `spawn` and the record there must be no gap in which a crash forgets the group.
 */
export function recordGroup(folder: string, pid: number): void {
  const startTime = startTimeOf(pid);
  if (startTime === undefined) return;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeFileSync(join(folder, String(pid)), startTime);
}

export function forgetGroup(folder: string, pid: number): void {
  rmSync(join(folder, String(pid)), { force: true });
}

/** Ends every recorded group that is still the one that was recorded. Returns how many were ended. */
export function endRecordedGroups(folder: string): number {
  let ended = 0;
  for (const entry of listRecords(folder)) {
    const pid = Number(entry);
    if (!Number.isSafeInteger(pid) || pid <= 1) continue;
    const recorded = readFileSync(join(folder, entry), 'utf8');
    const startTime = startTimeOf(pid);
    // No such process any more: its children may live on, and while they do no other process can have that group.
    if ((startTime === undefined || startTime === recorded) && killGroup(pid)) ended += 1;
    forgetGroup(folder, pid);
  }
  return ended;
}

function listRecords(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (nativeCode(error) === 'ENOENT') return [];
    throw error;
  }
}

function killGroup(pid: number): boolean {
  try {
    process.kill(-pid, 'SIGKILL');
    return true;
  } catch (error) {
    if (nativeCode(error) === 'ESRCH') return false;
    throw error;
  }
}

/** Field 22 of `/proc/<pid>/stat` (proc(5)): ticks after boot. The name in field 2 may hold anything, so count from its end. */
export function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch (error) {
    if (nativeCode(error) === 'ENOENT' || nativeCode(error) === 'ESRCH') return undefined;
    throw error;
  }
}
