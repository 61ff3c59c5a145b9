import type { HoldPlan } from '../activities/plans.ts';
import type { Reason } from './failure.ts';
import { asWritten, failedState, mendFirst, type Page } from './page.ts';
import { timeInWords } from './words.ts';

/** All that the page of a run tells that sets or releases a hold. */
export interface HoldProgress {
  readonly plan: HoldPlan;
  readonly releases: boolean;
  destinations: readonly string[];
  missing: readonly { readonly destination: string; readonly reason: Reason }[];
}

/** `step`: how far the run is, or why it gave up. */
export function describeHold(progress: HoldProgress, step: 'hold' | 'done' | Reason): Page {
  const { plan, releases, destinations, missing } = progress;
  const { backupId, environment, hold } = plan;
  const facts: [string, string][] = [
    ['backup', `\`${environment.id}/${backupId}\``],
    ...(hold === null
      ? []
      : ([
          ['reason', asWritten(hold.reason)],
          ['until', hold.until === null ? 'it is released' : timeInWords(hold.until)],
          ['set', `by ${asWritten(hold.setBy)} at ${timeInWords(hold.setAt)}`],
        ] satisfies [string, string][])),
    ...destinations.map((name): [string, string] => [name, releases ? 'has no hold' : 'has the hold']),
    ...missing.map(({ destination, reason }): [string, string] => [
      destination,
      `${reason.code}: ${asWritten(reason.message)}`,
    ]),
  ];
  const title = releases ? `**Releases ${backupId}**` : `**Holds ${backupId}**`;
  return { title, state: stateOf(progress, step), next: nextStep(progress, step), facts };
}

function stateOf({ plan, releases, missing }: HoldProgress, step: 'hold' | 'done' | Reason): string {
  if (typeof step === 'object') return failedState(step);
  if (step === 'hold')
    return releases
      ? '**Now:** removes the hold beside the copies; it counts until all are gone.'
      : '**Now:** writes the hold beside the copies. It counts already.';
  if (missing.length === 0) {
    if (!releases) return '**Done.** It is held.';
    return plan.hold === null ? '**Done.** Nothing held it.' : '**Done.** It is not held any more.';
  }
  const names = missing.map(({ destination }) => destination).join(', ');
  return releases
    ? `**Done, in part:** it is still held, because its hold could not be removed from ${names}.`
    : `**Done, with a debt:** it is held, and ${names} does not know it yet.`;
}

function nextStep({ plan, releases, missing }: HoldProgress, step: 'hold' | 'done' | Reason): string {
  if (step === 'hold') return 'none for you.';
  const again = releases ? `\`cofre release ${plan.backupId}\` again` : '`cofre sync` writes what is missing';
  if (typeof step === 'object') return `${mendFirst(step)}; then ${again}. Until then it is held.`;
  if (missing.length === 0) return 'none.';
  return `${[...new Set(missing.map(({ reason }) => mendFirst(reason)))].join('; ')}; then ${again}.`;
}
