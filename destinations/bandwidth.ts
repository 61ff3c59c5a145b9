import { setTimeout as sleep } from 'node:timers/promises';

/** What went faster than allowed is waited for at once, so that a limit is felt within a moment. */
const LONGEST_CREDIT_MS = 200;

/** Of this process, by the destination's name and its limit: all that goes there at once shares it. */
const lines = new Map<string, Line>();

/** The line of a destination: what it lets pass is sent and read together. */
export function lineOf(name: string, bytesPerSecond: number): Line {
  const key = `${name} ${bytesPerSecond}`;
  const line = lines.get(key) ?? new Line(bytesPerSecond);
  lines.set(key, line);
  return line;
}

/** A line that lets so many bytes pass in a second, to whoever asks first. */
export class Line {
  readonly #bytesPerMs: number;
  #freeAtMs = 0;

  constructor(bytesPerSecond: number) {
    this.#bytesPerMs = bytesPerSecond / 1000;
  }

  /** Resolves when so many bytes more may have passed. */
  async pass(bytes: number, signal: AbortSignal | undefined): Promise<void> {
    const now = performance.now();
    this.#freeAtMs = Math.max(this.#freeAtMs, now - LONGEST_CREDIT_MS) + bytes / this.#bytesPerMs;
    const waitMs = this.#freeAtMs - now;
    if (waitMs > 0) await sleep(waitMs, undefined, { signal }).catch(() => signal?.throwIfAborted());
  }
}
