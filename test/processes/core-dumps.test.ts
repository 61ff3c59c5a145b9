import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';

import { projectFolder } from '../../tools/project-folder.ts';
import { until } from '../until.ts';

const MODULE = pathToFileURL(join(projectFolder, 'dist/processes/core-dumps.js')).href;
const PATTERN = readFileSync('/proc/sys/kernel/core_pattern', 'utf8').trim();

async function makeFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'cofre-core-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A process in a folder of its own and with every core dump allowed, as an operator may have set up a machine. */
async function start(t: TestContext, folder: string, command: readonly string[]): Promise<ChildProcess> {
  const child = spawn('bash', ['-c', 'ulimit -c unlimited && exec "$@"', 'bash', ...command], { cwd: folder });
  t.after(() => child.kill('SIGKILL'));
  await once(child, 'spawn');
  return child;
}

function limitsOf(pid: number): string[] {
  const line = /^Max core file size +(\S+) +(\S+)/m.exec(readFileSync(`/proc/${pid}/limits`, 'utf8'));
  return line?.slice(1) ?? [];
}

async function crash(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const ended = once(child, 'exit');
  child.kill(signal);
  await ended;
}

test('case 96: without it, a process that crashes leaves its memory in its folder', async (t) => {
  const folder = await makeFolder(t);
  const child = await start(t, folder, ['sleep', '1000']);
  await until('it is sleep', () => limitsOf(child.pid ?? 0)[0] === 'unlimited');
  await crash(child, 'SIGABRT');
  const files = await readdir(folder);
  // Elsewhere the kernel gives it to a program, or to another folder: there only the limits can be looked at.
  if (!/^[|/]/.test(PATTERN)) assert.deepEqual(files.length, 1, `the core_pattern is ${PATTERN}`);
});

for (const signal of ['SIGABRT', 'SIGSEGV'] as const) {
  test(`case 96: a process that forbade it leaves nothing after ${signal}, nor does a tool that it started`, async (t) => {
    const folder = await makeFolder(t);
    const script = `const { forbidCoreDumps } = await import('${MODULE}'); forbidCoreDumps(); forbidCoreDumps();
      const { spawn } = await import('node:child_process');
      console.log(spawn('sleep', ['1000'], { cwd: ${JSON.stringify(folder)} }).pid); setInterval(() => undefined, 1000);`;
    const child = await start(t, folder, [process.execPath, '--input-type=module', '-e', script]);
    const [said] = (await once(child.stdout!.setEncoding('utf8'), 'data')) as [string];
    const tool = Number(said);
    assert.deepEqual(limitsOf(child.pid ?? 0), ['1', '1']);
    assert.deepEqual(limitsOf(tool), ['1', '1']);
    process.kill(tool, signal);
    await crash(child, signal);
    assert.deepEqual(await readdir(folder), []);
  });
}
