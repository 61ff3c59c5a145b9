import type { VerifyPlan } from '../activities/plans.ts';
import type { Proof } from '../catalog/oldest-proofs.ts';
import type { Reason } from './failure.ts';
import { asWritten, failedState, mendFirst, type Page } from './page.ts';
import type { ProofOutcome } from './verify-copies.ts';
import { waitNext, waitState, type Waits } from './waits.ts';
import { bytesInWords, timeInWords } from './words.ts';

/** All that the page of a run of `verifyCopies` tells. */
export interface ProofsProgress {
  readonly plan: VerifyPlan;
  readonly waits: Waits;
  /** By destination, what is read there now. */
  readonly under: Map<string, Proof>;
  copies: readonly ProofOutcome[];
}

const LISTED = 30;

/** `step`: how far the run is, or why it gave up. */
export function describeProofs(progress: ProofsProgress, step: 'copies' | 'done' | Reason): Page {
  const { plan, copies } = progress;
  return {
    title: `**Copies of ${plan.environment.id} read again:** ${copies.length} of ${plan.due.length}`,
    state: stateOf(progress, step),
    next: nextStep(progress, step),
    facts: factsOf(progress),
  };
}

function stateOf({ copies, waits }: ProofsProgress, step: 'copies' | 'done' | Reason): string {
  if (typeof step === 'object') return failedState(step);
  if (waits.size > 0) return waitState(waits);
  if (step === 'copies') return '**Now:** reads copies back, the oldest proof first, and decodes them in full.';
  const count = (state: ProofOutcome['state']): number => copies.filter((copy) => copy.state === state).length;
  const [suspect, unread] = [count('suspect'), count('unread')];
  if (suspect > 0)
    return `**Done, and ${suspect} of ${copies.length} copies are damaged.** No restore chooses them any more.`;
  if (unread > 0) return `**Done, but ${unread} of ${copies.length} copies could not be read.**`;
  return copies.length === 0
    ? '**Done.** No copy was due.'
    : '**Done.** Every one of them is what it was when it was made.';
}

function nextStep({ plan, copies, waits }: ProofsProgress, step: 'copies' | 'done' | Reason): string {
  if (typeof step === 'object')
    return step.code === 'cancelled'
      ? 'none. What was found until then stands.'
      : `${mendFirst(step)}; then start it again.`;
  if (waits.size > 0) return waitNext(waits);
  const places = (state: ProofOutcome['state']): string =>
    [...new Set(copies.filter((copy) => copy.state === state).map(({ destination }) => destination))].join(', ');
  if (places('suspect') !== '')
    return `look at the medium of ${places('suspect')}: it damages data. \`cofre backups ${plan.environment.id}\` shows which copies are left.`;
  if (step === 'copies') return `none for you. The run ends by itself, by ${timeInWords(plan.endsAt)} at the latest.`;
  return places('unread') === '' ? 'none.' : `mend ${places('unread')}; the next run reads them first.`;
}

function factsOf({ plan, under, copies }: ProofsProgress): [string, string][] {
  const facts: [string, string][] = [...under].map(([destination, { backupId, sizeBytes }]) => [
    `now in ${destination}`,
    `\`${backupId}\`, ${bytesInWords(sizeBytes)}`,
  ]);
  const rank = ({ state }: ProofOutcome): number => ['suspect', 'unread', 'verified'].indexOf(state);
  const sorted = [...copies].sort((one, other) => rank(one) - rank(other));
  for (const { backupId, destination, state, verifiedAt, sizeBytes, reason } of sorted.slice(0, LISTED)) {
    const before = `${bytesInWords(sizeBytes)}, proven before at ${timeInWords(verifiedAt)}`;
    facts.push([
      `\`${backupId}\` in ${destination}`,
      `${state}: ${reason === undefined ? before : asWritten(reason.message)}`,
    ]);
  }
  if (sorted.length > LISTED) facts.push(['…', `and ${sorted.length - LISTED} more`]);
  facts.push(['destinations', plan.destinations.map(({ name }) => name).join(', ')]);
  return facts;
}
