import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { descendantsBytes, diskBytes, peakBytes } from './processes.ts';

const LOOK_EVERY_MS = 100;

/**
 * The most memory that a worker and, apart, its tools had, and the most that a folder took of the disk, while `work` ran.
 * Looking costs time, so this is never done in a round that is timed.
 */
export async function observe(
  worker: number,
  folder: string,
  work: () => Promise<unknown>,
): Promise<{ workerBytes: number; toolsBytes: number; diskBytes: number }> {
  let toolsBytes = 0;
  let disk = 0;
  let working = true;
  // 5 makes the kernel forget the peak so far: proc(5).
  writeFileSync(`/proc/${worker}/clear_refs`, '5');
  const looking = (async () => {
    while (working) {
      toolsBytes = Math.max(toolsBytes, descendantsBytes(worker));
      disk = Math.max(disk, diskBytes(folder));
      await sleep(LOOK_EVERY_MS);
    }
  })();
  try {
    await work();
  } finally {
    working = false;
    await looking;
  }
  return { workerBytes: peakBytes(worker), toolsBytes, diskBytes: disk };
}
