import type { CopyPlan } from '../activities/plans.ts';
import type { MissingCopy } from '../catalog/missing-copies.ts';
import type { FurtherCopyOutcome } from './copy-backups.ts';
import type { Reason } from './failure.ts';
import { asWritten, failedState, mendFirst, type Page } from './page.ts';
import { waitNext, waitState, type Waits } from './waits.ts';
import { bytesInWords, timeInWords } from './words.ts';

/** All that the page of a run of `copyBackups` tells. */
export interface CopiesProgress {
  readonly plan: CopyPlan;
  readonly waits: Waits;
  /** By destination, what is brought there now. */
  readonly under: Map<string, MissingCopy>;
  /** Backups that still run and are copied when they are complete. */
  running: readonly string[];
  copies: readonly FurtherCopyOutcome[];
}

/** What stands on a page; a first run may copy hundreds. */
const LISTED = 30;

/** `step`: how far the run is, or why it gave up. */
export function describeCopies(progress: CopiesProgress, step: 'copies' | 'done' | Reason): Page {
  const { plan } = progress;
  const names = plan.to.map(({ name }) => name).join(', ');
  return {
    title: `**Copies of ${plan.environment.id}** in ${names}`,
    state: stateOf(progress, step),
    next: nextStep(progress, step),
    facts: factsOf(progress),
  };
}

function missingOf({ copies }: CopiesProgress): FurtherCopyOutcome[] {
  return copies.filter(({ state }) => state === 'missing');
}

function stateOf(progress: CopiesProgress, step: 'copies' | 'done' | Reason): string {
  const { copies, waits, running, under } = progress;
  if (typeof step === 'object') return failedState(step);
  if (waits.size > 0) return waitState(waits);
  if (step === 'copies') {
    const soon = under.size === 0 && running.length > 0 ? ` Waits for ${running.join(', ')}, which still runs.` : '';
    return `**Now:** sends what is missing, reads it back there and decodes it in full.${soon}`;
  }
  const missing = missingOf(progress).length;
  if (missing > 0) return `**Done, with a debt:** ${missing} of ${copies.length} copies could not be made.`;
  if (running.length > 0)
    return `**Done, as far as its time went:** ${running.join(', ')} still runs and was not copied.`;
  return copies.length === 0
    ? '**Done.** Nothing was missing.'
    : '**Done.** Every copy was read back from its destination and decoded in full.';
}

function nextStep(progress: CopiesProgress, step: 'copies' | 'done' | Reason): string {
  const { plan, waits } = progress;
  if (typeof step === 'object')
    return step.code === 'cancelled'
      ? 'none. The copies that were verified stay.'
      : `${mendFirst(step)}; then start it again.`;
  if (waits.size > 0) return waitNext(waits);
  if (step === 'copies') return `none for you. The run ends by itself, by ${timeInWords(plan.endsAt)} at the latest.`;
  const places = [...new Set(missingOf(progress).map(({ destination }) => destination))];
  if (places.length === 0) return 'none.';
  return `mend ${places.join(', ')}; then the next run makes these copies, or above More Actions, Start Workflow Like This One.`;
}

function factsOf({ plan, under, copies }: CopiesProgress): [string, string][] {
  const facts: [string, string][] = [...under].map(([destination, { backupId, sizeBytes }]) => [
    `now to ${destination}`,
    `\`${backupId}\`, ${bytesInWords(sizeBytes)}`,
  ]);
  const rank = ({ state }: FurtherCopyOutcome): number => (state === 'missing' ? 0 : 1);
  const sorted = [...copies].sort((one, other) => rank(one) - rank(other));
  for (const { backupId, destination, state, sizeBytes, reason } of sorted.slice(0, LISTED)) {
    const why = reason === undefined ? bytesInWords(sizeBytes) : asWritten(reason.message);
    facts.push([`\`${backupId}\` in ${destination}`, `${state}: ${why}`]);
  }
  if (sorted.length > LISTED) facts.push(['…', `and ${sorted.length - LISTED} more`]);
  facts.push(['read from', plan.from.map(({ name }) => name).join(', ')]);
  return facts;
}
