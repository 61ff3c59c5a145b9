import type { Comparison } from '../activities/differences.ts';
import type { SyncPlan } from '../activities/plans.ts';
import {
  adoptedInWords,
  copiesInWords,
  countsInWords,
  DIFFERENCE_WORDS,
  listDifferences,
  numberOfCopies,
} from './differences-text.ts';
import type { AdoptedDump } from './adopt-dumps.ts';
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
  adopted: readonly AdoptedDump[];
  /** Dumps that the next run is to adopt. */
  moreDumps: number;
  repaired: readonly Repair[];
  unverified: number;
  holdsUnwritten: number;
  holdsUnconfirmed: boolean;
}

const LISTED = 40;

/** Whether there is nothing that somebody has to care about. */
export function isWhole({ notCompared, unverified, holdsUnwritten, adopted, moreDumps }: SyncProgress): boolean {
  const debts = unverified + holdsUnwritten + moreDumps + refusedDumps(adopted).length;
  return notCompared.length === 0 && debts === 0;
}

function refusedDumps(adopted: readonly AdoptedDump[]): readonly AdoptedDump[] {
  return adopted.filter(({ reason }) => reason !== undefined);
}

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
  const { waits, unverified, holdsUnwritten, notCompared, adopted, moreDumps } = progress;
  if (typeof step === 'object') return failedState(step);
  if (waits.size > 0) return waitState(waits);
  if (step === 'compare')
    return '**Now:** lists its destinations, compares them with the catalog and adopts dumps of other jobs. Nothing is removed.';
  if (step === 'copies') return '**Now:** makes, proves or replaces the copies that are not as they should be.';
  const away = notCompared.map(({ destination }) => destination).join(', ');
  if (away !== '') return `**Done, in part:** ${away} could not be compared to the end.`;
  const refused = refusedDumps(adopted).length;
  if (refused > 0 || moreDumps > 0) {
    const more = moreDumps === 0 ? '' : ` ${moreDumps} more are left for the next run.`;
    return `**Done, in part:** ${refused} dumps of other jobs could not be adopted.${more}`;
  }
  if (unverified === 0 && holdsUnwritten > 0)
    return `**Done, in part:** the hold could not be written beside ${numberOfCopies(holdsUnwritten)}.`;
  return unverified === 0
    ? '**Done.** Every copy that should be there is, as far as names, sizes and manifests tell.'
    : `**Done, with a debt:** ${copiesInWords(unverified)} missing, damaged or not proven yet.`;
}

function nextStep(progress: SyncProgress, step: 'compare' | 'copies' | 'done' | Reason): string {
  const { plan, waits, unverified, notCompared, repair, holdsUnconfirmed } = progress;
  if (typeof step === 'object')
    return step.code === 'cancelled'
      ? 'none. What was marked stays marked.'
      : `${mendFirst(step)}; then start it again.`;
  if (waits.size > 0) return waitNext(waits);
  if (step !== 'done') return `none for you. The run ends by itself, by ${timeInWords(plan.endsAt)} at the latest.`;
  const mend = [...new Set(notCompared.map(({ reason }) => mendFirst(reason)))];
  if (unverified > 0) {
    mend.push(
      repair
        ? 'look why copies could not be repaired, in the runs below'
        : '`cofre sync --repair` makes, proves or replaces these copies',
    );
  }
  if (refusedDumps(progress.adopted).length > 0)
    mend.push('look why dumps could not be adopted, below, and at the jobs that make them');
  if (progress.moreDumps > 0) mend.push('start it again for the dumps that are left');
  if (progress.holdsUnwritten > 0) mend.push('look why holds could not be written, below, and start it again');
  if (holdsUnconfirmed) mend.push('look at the holds that were found, and confirm them: `cofre catalog confirm`');
  return mend.length === 0 ? 'none.' : `${mend.join('; ')}.`;
}

function factsOf({ compared, notCompared, adopted, repaired }: SyncProgress): [string, string][] {
  const facts: [string, string][] = notCompared.map(({ destination, reason }) => [
    destination,
    `not compared: ${reason.code}: ${asWritten(reason.message)}`,
  ]);
  for (const comparison of compared)
    facts.push([comparison.destination, `${comparison.compared} copies compared: ${countsInWords(comparison)}`]);
  const told = [...refusedDumps(adopted), ...adopted.filter(({ reason }) => reason === undefined)];
  for (const dump of told.slice(0, LISTED)) facts.push([`dump \`${dump.key}\``, asWritten(adoptedInWords(dump))]);
  if (told.length > LISTED) facts.push(['…', `and ${told.length - LISTED} more dumps`]);
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
