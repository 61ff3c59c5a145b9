import { readdirSync, readFileSync } from 'node:fs';

import { nativeCode } from '../errors/error.ts';

const LOOK_EVERY_MS = 500;

interface RunningProcess {
  /** Its id and start time, because ids are given out again. */
  readonly key: string;
  readonly pid: number;
  readonly parent: number;
  readonly name: string;
}

/**
 * Watches which processes come from this one, also those that lost their parent meanwhile: looked for twice a second by
 * their parents, and in the end by the environment that they inherited, for those that were left alone at once.
 */
export class Descendants {
  readonly #seen = new Set<string>();
  readonly #timer = setInterval(() => this.#look(), LOOK_EVERY_MS).unref();

  /** Ends the watch, kills those that are still alive, and names them. `environment`: what only they have in theirs. */
  endLeftovers(environment: string): string[] {
    clearInterval(this.#timer);
    this.#look();
    const left = listProcesses().filter(
      ({ key, pid }) => pid !== process.pid && (this.#seen.has(key) || readProc(pid, 'environ').includes(environment)),
    );
    for (const { pid } of left) endProcess(pid);
    return left.map(({ pid, name }) => `${name} (process ${pid})`);
  }

  #look(): void {
    const running = listProcesses();
    const ours = new Set([process.pid]);
    for (const { key, pid } of running) if (this.#seen.has(key)) ours.add(pid);
    // Children may be listed before their parents: until nothing new is found.
    for (let before = 0; before !== ours.size;) {
      before = ours.size;
      for (const { key, pid, parent } of running) {
        if (!ours.has(parent) || ours.has(pid)) continue;
        ours.add(pid);
        this.#seen.add(key);
      }
    }
  }
}

function listProcesses(): RunningProcess[] {
  return readdirSync('/proc')
    .filter((entry) => /^[0-9]+$/.test(entry))
    .map(Number)
    .flatMap((pid) => {
      const stat = readProc(pid, 'stat');
      // proc(5): the name, in brackets, may hold anything; after it come state, parent and, as the 22nd field, the start time.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      const startTime = fields[19];
      if (startTime === undefined || fields[0] === 'Z') return [];
      const name = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'));
      return [{ key: `${pid} ${startTime}`, pid, parent: Number(fields[1]), name }];
    });
}

function readProc(pid: number, file: 'stat' | 'environ'): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return ''; // it has ended since the folder was listed, or is another user's
  }
}

function endProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (nativeCode(error) !== 'ESRCH') throw error;
  }
}
