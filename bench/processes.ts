import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { nativeCode } from '../errors/error.ts';

const TICK_MS = 10;

/** CPU time of a process, of all it has waited for, and of its descendants that live. */
export function treeCpuMs(pid: number): number {
  const fields = statFields(pid);
  const own = fields === undefined ? 0 : ticks(fields, 11, 4);
  return own * TICK_MS + childrenOf(pid).reduce((sum, child) => sum + treeCpuMs(child), 0);
}

/** CPU time of what this process has started and waited for. */
export function waitedForCpuMs(): number {
  return ticks(statFields(process.pid) ?? [], 13, 2) * TICK_MS;
}

/** The most that the process had in memory since `forgetPeak`. */
export function peakBytes(pid: number): number {
  return memoryOf(pid, 'VmHWM');
}

/** Resident memory of the process's descendants, shared pages counted for each. */
export function descendantsBytes(pid: number): number {
  return childrenOf(pid).reduce((sum, child) => sum + memoryOf(child, 'VmRSS') + descendantsBytes(child), 0);
}

/** What the files below a folder take of the disk. */
export function diskBytes(folder: string): number {
  let bytes = 0;
  for (const entry of orNothing(() => readdirSync(folder, { withFileTypes: true })) ?? []) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) bytes += diskBytes(path);
    else bytes += (orNothing(() => statSync(path))?.blocks ?? 0) * 512;
  }
  return bytes;
}

function statFields(pid: number): string[] | undefined {
  const stat = orNothing(() => readFileSync(`/proc/${pid}/stat`, 'utf8'));
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
}

function ticks(fields: readonly string[], from: number, count: number): number {
  return fields.slice(from, from + count).reduce((sum, field) => sum + Number(field), 0);
}

function childrenOf(pid: number): number[] {
  const threads = orNothing(() => readdirSync(`/proc/${pid}/task`)) ?? [];
  return threads.flatMap((thread) => {
    const children = orNothing(() => readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8')) ?? '';
    return children.split(' ').filter(Boolean).map(Number);
  });
}

function memoryOf(pid: number, field: 'VmHWM' | 'VmRSS'): number {
  const status = orNothing(() => readFileSync(`/proc/${pid}/status`, 'utf8')) ?? '';
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) * 1024;
}

/** undefined for a process or file that has gone meanwhile. */
function orNothing<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (['ENOENT', 'ESRCH', 'ENOTDIR'].includes(nativeCode(error) ?? '')) return undefined;
    throw error;
  }
}
