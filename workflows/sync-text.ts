import type { Comparison } from '../activities/differences.ts';
import type { SyncPlan } from '../activities/plans.ts';
import { copiesInWords, countsInWords, DIFFERENCE_WORDS, listDifferences } from './differences-text.ts';
import type { Reason } from './failure.ts';
import { asWritten, failedState, mendFirst, type Page } from './page.ts';
import type { NotCompared, Repair } from './sync-catalog.ts';
import { waitNext, waitState, type Waits } from './waits.ts';
import { timeInWords } from './words.ts';

/** All that the page of a run of `syncCatalog` tells. */
export interface SyncProgress {
  readonly plan: SyncPlan;
  readonly repair: boolean;
  readonly waits: Waits;
  compared: readonly Comparison[];
  notCompared: readonly NotCompared[];
  repaired: readonly Repair[];
  unverified: number;
}

const LISTED = 40;

/** `step`: how far the run is, or why it gave up. */
export function describeSync(progress: SyncProgress, step: 'compare' | 'copies' | 'done' | Reason): Page {
  const names = progress.plan.destinations.map(({ name }) => name).join(', ');
  return {
    title: `**Catalog compared** with ${names}`,
    state: stateOf(progress, step),
    next: nextStep(progress, step),
    facts: factsOf(progress),
  };
}

function stateOf(progress: SyncProgress, step: 'compare' | 'copies' | 'done' | Reason): string {
  const { waits, unverified, notCompared } = progress;
  if (typeof step === 'object') return failedState(step);
  if (waits.size > 0) return waitState(waits);
  if (step === 'compare')
    return '**Now:** lists its destinations and compares them with the catalog. Nothing is removed.';
  if (step === 'copies') return '**Now:** makes, proves or replaces the copies that are not as they should be.';
  const away = notCompared.map(({ destination }) => destination).join(', ');
  if (away !== '') return `**Done, in part:** ${away} could not be compared; nothing there was marked.`;
  return unverified === 0
    ? '**Done.** Every copy that should be there is, as far as names, sizes and manifests tell.'
    : `**Done, with a debt:** ${copiesInWords(unverified)} missing, damaged or not proven yet.`;
}

function nextStep(progress: SyncProgress, step: 'compare' | 'copies' | 'done' | Reason): string {
  const { plan, waits, unverified, notCompared, repair } = progress;
  if (typeof step === 'object')
    return step.code === 'cancelled'
      ? 'none. What was marked stays marked.'
      : `${mendFirst(step)}; then start it again.`;
  if (waits.size > 0) return waitNext(waits, plan.endsAt);
  if (step !== 'done') return `none for you. The run ends by itself, by ${timeInWords(plan.endsAt)} at the latest.`;
  const mend = [...new Set(notCompared.map(({ reason }) => mendFirst(reason)))];
  if (unverified > 0) {
    mend.push(
      repair
        ? 'look why copies could not be repaired, in the runs below'
        : '`cofre sync --repair` makes, proves or replaces these copies',
    );
  }
  return mend.length === 0 ? 'none.' : `${mend.join('; ')}.`;
}

function factsOf({ compared, notCompared, repaired }: SyncProgress): [string, string][] {
  const facts: [string, string][] = notCompared.map(({ destination, reason }) => [
    destination,
    `not compared: ${reason.code}: ${asWritten(reason.message)}`,
  ]);
  for (const comparison of compared)
    facts.push([comparison.destination, `${comparison.compared} copies compared: ${countsInWords(comparison)}`]);
  for (const { environment, verified, missing, reason } of repaired.slice(0, LISTED)) {
    const failed = reason === undefined ? '' : `, ${reason.code}: ${asWritten(reason.message)}`;
    facts.push([`repair of ${environment}`, `${verified} verified, ${missing} could not be${failed}`]);
  }
  const differences = listDifferences(compared);
  for (const { kind, destination, environment, backupId, what } of differences.slice(0, LISTED)) {
    const of = backupId === null ? destination : `\`${environment}/${backupId}\` in ${destination}`;
    facts.push([of, `${DIFFERENCE_WORDS[kind]}: ${asWritten(what)}`]);
  }
  if (differences.length > LISTED) facts.push(['…', `and ${differences.length - LISTED} more`]);
  return facts;
}
