import { isCancellation, sleep } from '@temporalio/workflow';

import { reasonOf, type Reason } from './failure.ts';
import { showPhase } from './phase.ts';

/** What somebody can mend while the run waits: room on a disk, a volume that is not mounted. */
const WORTH_WAITING = new Set(['no-space', 'not-mounted']);
const ASK_AGAIN_MS = 10 * 60_000;

/**
 * Does `work`, and while it fails for want of something that can be mended, waits visibly and tries again,
 * until the end of the run. Any other failure, and the last one, is thrown.
 */
export async function waitingForRoom<T>(endsAt: Date, what: string, work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (isCancellation(error)) throw error;
      const reason = reasonOf(error);
      if (!WORTH_WAITING.has(reason.code) || Date.now() + ASK_AGAIN_MS > endsAt.getTime()) throw error;
      showPhase('waiting', { needs: 'resource', text: waitText(what, reason, endsAt) });
      await sleep(ASK_AGAIN_MS, { summary: `${what}: ${reason.code}` });
    }
  }
}

function waitText(what: string, reason: Reason, endsAt: Date): string {
  return [
    `**Waits: ${what}.** ${reason.message}`,
    '',
    `Next step: ${reason.hint ?? 'mend it'}. The run tries again every ${ASK_AGAIN_MS / 60_000} minutes until ${endsAt.toISOString()} and goes on by itself.`,
  ].join('\n');
}
