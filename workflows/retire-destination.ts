import { ParentClosePolicy, executeChild, isCancellation, workflowInfo } from '@temporalio/workflow';

import { copyBackups } from './copy-backups.ts';
import { reasonOf, failRun, type Reason } from './failure.ts';
import type { RetireInput } from './inputs.ts';
import { beforeAll, openRun } from './opening.ts';
import { asWritten, failedState, mendFirst, runLink } from './page.ts';
import { showPhase } from './phase.ts';
import { control } from './steps.ts';

export interface RetireResult {
  /** `incomplete`: the destination still has what nothing else has, and was not forgotten for these. */
  readonly state: 'complete' | 'incomplete';
  readonly destination: string;
  readonly to: string;
  /** Copies that are not counted any more. */
  readonly forgotten: number;
  readonly left: number;
  readonly leftBackups: readonly string[];
}

/**
 * Brings to another destination what only this one has, proves it there, and then forgets this one. Nothing is removed from it:
 * whoever gives it up decides what becomes of it.
 */
export async function retireDestination(input: RetireInput): Promise<RetireResult> {
  openRun(
    'retireDestination',
    input,
    { destination: 'name', to: 'name' },
    '{"destination": "oldvolume", "to": "bucket"}',
  );
  const { destination, to } = input;
  const title = `**Retires ${destination}** to ${to}`;
  const plan = await beforeAll(title, () => control.resolveRetirement(input));
  const facts: [string, string][] = [];
  const now = '**Now:** copies what only it has, and proves it there.';
  try {
    showPhase('copies', { title, state: now, next: 'none for you.' });
    // One after the other: nothing waits for it, and the nights go on beside it.
    for (const environment of plan.environments) {
      facts.push([environment, await moveOne(environment, input)]);
      showPhase('copies', { title, state: now, next: 'none for you.', facts });
    }
    const retired = await control.retireDestination(input);
    const { left, leftBackups } = retired;
    if (left > 0) facts.push(['only there', `${leftBackups.join(', ')}${left > leftBackups.length ? ', …' : ''}`]);
    const state =
      left === 0
        ? `**Done.** ${retired.forgotten} copies there are not counted any more. Nothing was removed from it.`
        : `**Done, in part:** of ${left} backups it has the only copy, or they still run; those copies stay counted.`;
    const next =
      left === 0
        ? `take \`${destination}\` out of \`destinations:\` in cofre.yaml, and \`cofre apply\`.`
        : `look at these backups (\`cofre sync ${destination} --repair\` proves what is whole); then retire it again.`;
    showPhase('done', { title, state, next, facts }, left === 0 ? 'nothing' : 'operator');
    return { state: left === 0 ? 'complete' : 'incomplete', destination, to, ...retired };
  } catch (error) {
    const reason: Reason = reasonOf(error);
    const next =
      reason.code === 'cancelled' ? 'none. Nothing was forgotten.' : `${mendFirst(reason)}; then start it again.`;
    showPhase(
      'failed',
      { title, state: failedState(reason), next, facts },
      reason.code === 'cancelled' ? 'nothing' : 'operator',
    );
    throw isCancellation(error) ? error : failRun(reason);
  }
}

/** What came of it, in words: what could not be copied is found by what is left. */
async function moveOne(environment: string, { destination, to }: RetireInput): Promise<string> {
  const workflowId = `copyBackups/${environment}/retire-${workflowInfo().runId.slice(0, 8)}`;
  try {
    const { copies } = await executeChild(copyBackups, {
      workflowId,
      args: [{ environment, from: destination, to: [to], onlyIn: destination }],
      parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
      staticSummary: `brings backups of ${environment} from ${destination} to ${to}`,
    });
    const verified = copies.filter(({ state }) => state === 'verified').length;
    return `${verified} of ${copies.length} copied and verified: ${runLink(workflowId, 'its run')}`;
  } catch (error) {
    if (isCancellation(error)) throw error;
    const { code, message } = reasonOf(error);
    return `${code}: ${asWritten(message)}`;
  }
}
