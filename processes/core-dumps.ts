import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

import { CofreError } from '../errors/error.ts';

/**
 * In bytes. Below a page Linux writes no file; and where `core_pattern` names a program, which gets the memory whatever
 * the limit is, 1 is the one value with which it gets nothing (fs/coredump.c of the kernel).
 */
const LIMIT = 1;

/**
 * Keeps the kernel from writing down the memory of this process when it crashes, and of all that it starts from now on:
 * passwords are in it. Node cannot set a limit of its own, so a tool does. Again is fine.
 * @throws CofreError `tool-missing`
 */
export function forbidCoreDumps(): void {
  if (coreLimits().every((limit) => limit === String(LIMIT))) return;
  const { status } = spawnSync('prlimit', ['--pid', String(process.pid), `--core=${LIMIT}:${LIMIT}`], {
    stdio: 'ignore',
    env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin' },
  });
  if (status === 0) return;
  throw new CofreError('tool-missing', 'prlimit, which keeps passwords out of core dumps, could not be run', {
    hint: 'install the package util-linux',
  });
}

/** The soft and the hard limit of this process. */
function coreLimits(): string[] {
  const line = /^Max core file size +(\S+) +(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'));
  return line === null ? ['unknown'] : line.slice(1);
}
