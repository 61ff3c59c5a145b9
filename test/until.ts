import { setTimeout as sleep } from 'node:timers/promises';

const LOOK_EVERY_MS = 20;

/** Waits until `condition` holds, looking again and again. @throws Error naming `what`, when it does not within `timeoutMs`. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs = 60_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`it did not happen within ${timeoutMs / 1000} s that ${what}`);
    await sleep(LOOK_EVERY_MS);
  }
}
