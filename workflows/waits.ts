import { isCancellation, sleep } from '@temporalio/workflow';

import { reasonOf, type Reason } from './failure.ts';
import { asWritten, mendFirst } from './page.ts';
import { timeInWords } from './words.ts';

/** What somebody can mend while the run waits: room on a disk, a volume that is not mounted. */
const ROOM: ReadonlySet<string> = new Set(['no-space', 'not-mounted']);
/** The same for a copy: its destination is down, or its token or password is not taken any more. */
export const DESTINATION_TROUBLE: ReadonlySet<string> = new Set([...ROOM, 'destination-unavailable', 'access-denied']);
/** The same where any host would do: one that is restarted, or that somebody starts again. */
export const HOST_OR_ROOM: ReadonlySet<string> = new Set([...ROOM, 'host-unavailable']);
/** Sessions or prepared transactions in a database, which somebody ends. */
export const LOCKED: ReadonlySet<string> = new Set(['database-locked']);
/** Often at first, because most are mended within minutes; then seldom, because it may take a night. */
const FIRST_WAIT_MS = 15_000;
const LONGEST_WAIT_MS = 10 * 60_000;

/** For what a run waits now, and why. */
export type Waits = Map<string, Reason & { readonly endsAt: Date }>;

export interface Wait {
  /** The end of the run. */
  readonly endsAt: Date;
  readonly what: string;
  readonly waits: Waits;
  /** Called when `waits` has changed. */
  readonly show: () => void;
}

/**
 * Does `work`, and while it fails for want of something that can be mended, waits visibly and tries again,
 * until the end of the run. Any other failure, and the last one, is thrown.
 */
export async function waitingForRoom<T>(
  { endsAt, what, waits, show }: Wait,
  work: () => Promise<T>,
  worthWaiting = ROOM,
): Promise<T> {
  for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)) {
    try {
      return await work();
    } catch (error) {
      if (isCancellation(error)) throw error;
      const reason = reasonOf(error);
      if (!worthWaiting.has(reason.code) || Date.now() + waitMs > endsAt.getTime()) throw error;
      waits.set(what, { ...reason, endsAt });
      show();
      try {
        await sleep(waitMs, { summary: `waits for ${what}: ${reason.code}` });
      } finally {
        waits.delete(what);
      }
      show();
    }
  }
}

export function waitState(waits: Waits): string {
  return [...waits].map(([what, { message }]) => `**Waits for ${what}:** ${asWritten(message)}`).join('\n\n');
}

export function waitNext(waits: Waits): string {
  // Of several the longest: it holds for the run.
  const endsAt = new Date(Math.max(...[...waits.values()].map((wait) => wait.endsAt.getTime())));
  const mend = [...new Set([...waits.values()].map(mendFirst))].join('; ');
  return `${mend}. The run looks again by itself, at least every ${LONGEST_WAIT_MS / 60_000} minutes, until ${timeInWords(endsAt.toISOString())}, and then goes on.`;
}
