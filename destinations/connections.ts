/** Of this process, by the destination's name, what is done there and the limit: all handles of it share them. */
const slots = new Map<string, Slots>();

/** The slots of a destination. Those of what is sent are others than those of what is read: a copy needs one here and one there. */
export function slotsOf(name: string, direction: 'send' | 'read', count: number): Slots {
  const key = `${name} ${direction} ${count}`;
  const known = slots.get(key) ?? new Slots(count);
  slots.set(key, known);
  return known;
}

/** So many may work at once; the others wait in turn. */
export class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /**
   * Resolves when there is a slot, with what gives it back; that may be called twice. `onWait` is called where there is none yet.
   * @throws `signal.reason`.
   */
  async take(signal: AbortSignal | undefined, onWait?: () => void): Promise<() => void> {
    signal?.throwIfAborted();
    if (this.#free > 0) {
      this.#free -= 1;
    } else {
      onWait?.();
      await this.#turn(signal);
    }
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    };
  }

  #turn(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(enter), 1);
        reject(signal?.reason as Error);
      };
      const enter = (): void => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiting.push(enter);
    });
  }
}
