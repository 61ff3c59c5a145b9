import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

import { CofreError, nativeCode } from '../../errors/error.ts';
import { finishAll, type RunningTool } from '../../processes/tool.ts';

export interface Watch {
  /** Tools that neither read, write nor compute for so long are ended with `tool-stalled`. */
  readonly stallMs: number;
  /** About each second: what the tools and their children have read and written so far, sockets not counted. */
  readonly onProgress?: ((moved: Moved) => void) | undefined;
  /** About each second; what it throws ends the tools and is thrown. */
  readonly check?: (() => Promise<void>) | undefined;
}

export interface Moved {
  readonly readBytes: number;
  readonly writtenBytes: number;
}

const TICK_MS = 1_000;

/** Waits until all tools have ended well, as `finishAll`, and ends them when they stall or `check` objects. */
export async function finishWatched(tools: readonly RunningTool[], watch: Watch): Promise<void> {
  const ended = new AbortController();
  const finished = finishAll(tools).finally(() => ended.abort());
  const watched = watchUntil(ended.signal, tools, watch).catch((error: unknown) => {
    for (const tool of tools) tool.kill();
    throw error;
  });
  const [end, verdict] = await Promise.allSettled([finished, watched]);
  // The watch comes first: that the tools failed is then only its consequence.
  if (verdict.status === 'rejected') throw verdict.reason;
  if (end.status === 'rejected') throw end.reason;
}

async function watchUntil(ended: AbortSignal, tools: readonly RunningTool[], watch: Watch): Promise<void> {
  const meter = new Meter(tools);
  // A tick is as long as the sleep, not as the clock: a worker that was frozen itself must not blame its tools.
  const stallTicks = Math.max(1, Math.ceil(watch.stallMs / Math.min(TICK_MS, watch.stallMs)));
  let idleTicks = 0;
  while (await slept(Math.min(TICK_MS, watch.stallMs), ended)) {
    await watch.check?.();
    const moving = await meter.read();
    watch.onProgress?.(meter.moved);
    idleTicks = moving ? 0 : idleTicks + 1;
    if (idleTicks >= stallTicks && !ended.aborted) {
      const names = tools.map((tool) => tool.tool.name).join(' | ');
      throw new CofreError(
        'tool-stalled',
        `${names} did not move for ${Math.round(watch.stallMs / 1000)} s and was ended`,
        {
          hint: 'look for locks and load on the server, and for a hanging disk or network',
        },
      );
    }
  }
}

async function slept(ms: number, ended: AbortSignal): Promise<boolean> {
  try {
    await sleep(ms, undefined, { signal: ended });
    return true;
  } catch {
    return false;
  }
}

interface Usage extends Moved {
  readonly cpuTicks: number;
}

/** Reads proc(5) of the tools and their children. A process that has ended counts with what it had last. */
class Meter {
  readonly #tools: readonly RunningTool[];
  readonly #usage = new Map<number, Usage>();

  constructor(tools: readonly RunningTool[]) {
    this.#tools = tools;
  }

  get moved(): Moved {
    let readBytes = 0;
    let writtenBytes = 0;
    for (const usage of this.#usage.values()) {
      readBytes += usage.readBytes;
      writtenBytes += usage.writtenBytes;
    }
    return { readBytes, writtenBytes };
  }

  /** Whether anything has moved since the last time. */
  async read(): Promise<boolean> {
    let moving = false;
    for (const tool of this.#tools) {
      for (const pid of tool.pid === undefined ? [] : await familyOf(tool.pid)) {
        const usage = await usageOf(pid);
        if (usage === undefined) continue;
        const before = this.#usage.get(pid);
        moving ||=
          usage.readBytes !== before?.readBytes ||
          usage.writtenBytes !== before.writtenBytes ||
          usage.cpuTicks !== before.cpuTicks;
        this.#usage.set(pid, usage);
      }
    }
    return moving;
  }
}

async function familyOf(pid: number): Promise<number[]> {
  const children =
    (await readProc(`/proc/${pid}/task/${pid}/children`))?.split(' ').filter((text) => text !== '') ?? [];
  const families = await Promise.all(children.map((child) => familyOf(Number(child))));
  return [pid, ...families.flat()];
}

async function usageOf(pid: number): Promise<Usage | undefined> {
  const io = await readProc(`/proc/${pid}/io`);
  const stat = await readProc(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return {
    readBytes: Number(/^rchar: (\d+)/m.exec(io ?? '')?.[1] ?? 0),
    writtenBytes: Number(/^wchar: (\d+)/m.exec(io ?? '')?.[1] ?? 0),
    cpuTicks: Number(fields[11]) + Number(fields[12]),
  };
}

/** undefined for a process that has ended, or whose numbers this user may not see. */
async function readProc(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes(nativeCode(error) ?? '')) return undefined;
    throw error;
  }
}
