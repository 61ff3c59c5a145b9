import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { CofreError } from '../../errors/error.ts';
import { isServed } from './ports.ts';

/** A process and when it started, which tells it from another one that was given the same number later. */
interface Process {
  readonly pid: number;
  readonly startTime: string;
}

interface Record {
  readonly up: Process;
  /** The servers that it started, and what they listen on. */
  readonly servers: readonly Process[];
  readonly ports: readonly number[];
}

/** After `kill -9` a process takes a moment to be gone, and its servers, which the kernel tells to end, take longer. */
const UP_ENDS_WITHIN_MS = 2_000;
const SERVERS_END_WITHIN_MS = 30_000;
const ASK_EVERY_MS = 50;

/**
 * Makes sure that no other `cofre up` uses the folder, and waits for the servers of one that was killed: they still
 * answer for a moment, and would be taken for somebody else's; or hold their files, which the next would find locked.
 * @throws CofreError `busy`
 */
export async function waitForPredecessor(folder: string): Promise<void> {
  const before = await readRecord(folder);
  if (before === undefined) return;
  const { up, servers, ports } = before;
  if (up.pid !== process.pid && !(await comesTrue(async () => !(await isAlive(up)), UP_ENDS_WITHIN_MS))) {
    throw new CofreError('busy', `cofre up runs already in ${folder}, as process ${up.pid}`, {
      hint: `use that one, or stop it with: kill ${up.pid}`,
    });
  }
  for (const server of servers) {
    if (await comesTrue(async () => !(await isAlive(server)), SERVERS_END_WITHIN_MS)) continue;
    throw new CofreError('busy', `a server of an earlier cofre up still runs in ${folder}, as process ${server.pid}`, {
      hint: `end it with: kill ${server.pid}`,
    });
  }
  // One that was killed between the start of a server and its record.
  for (const port of ports) {
    if (await comesTrue(async () => !(await isServed(port)), SERVERS_END_WITHIN_MS)) continue;
    throw new CofreError('busy', `what an earlier cofre up started still listens on 127.0.0.1:${port}`, {
      hint: `find it with: ss -ltnp 'sport = :${port}'; then end it`,
    });
  }
}

/** Records what this process serves, or is about to. */
export async function recordUp(folder: string, ports: readonly number[], serverPids: readonly number[]): Promise<void> {
  const path = join(folder, 'up.json');
  const toProcess = async (pid: number): Promise<Process> => ({ pid, startTime: (await statOf(pid))?.startTime ?? '' });
  const record: Record = {
    up: await toProcess(process.pid),
    servers: await Promise.all(serverPids.map(toProcess)),
    ports,
  };
  await writeFile(`${path}.part`, JSON.stringify(record), { mode: 0o600 });
  await rename(`${path}.part`, path);
}

export async function forgetUp(folder: string): Promise<void> {
  await rm(join(folder, 'up.json'), { force: true });
}

async function readRecord(folder: string): Promise<Record | undefined> {
  const text = await readFile(join(folder, 'up.json'), 'utf8').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as Record);
}

async function isAlive({ pid, startTime }: Process): Promise<boolean> {
  const found = await statOf(pid);
  // A zombie has ended; it only waits for its parent to look.
  return found !== undefined && found.startTime === startTime && found.state !== 'Z';
}

/** Fields 3 and 22 of `/proc/<pid>/stat` (proc(5)); the name in field 2 may hold anything, so count from its end. */
async function statOf(pid: number): Promise<{ state: string; startTime: string } | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields === undefined ? undefined : { state: fields[0] ?? '', startTime: fields[19] ?? '' };
}

async function comesTrue(ask: () => Promise<boolean>, withinMs: number): Promise<boolean> {
  for (const deadline = Date.now() + withinMs; ; await sleep(ASK_EVERY_MS)) {
    if (await ask()) return true;
    if (Date.now() > deadline) return false;
  }
}
