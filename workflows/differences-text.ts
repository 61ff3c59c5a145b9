import type { Comparison, Difference, DifferenceKind } from '../activities/differences.ts';
import type { AdoptedDump } from './adopt-dumps.ts';

// For the page of a run and for the command line, which loads nothing of Temporal's workflows.

/** In the order in which somebody has to care. */
export const DIFFERENCE_WORDS: Readonly<Record<DifferenceKind, string>> = {
  missing: 'missing',
  damaged: 'damaged',
  refused: 'not taken into the catalog',
  hold: 'held otherwise',
  extra: 'belongs to no backup',
  found: 'there again',
  imported: 'taken into the catalog',
};
const KINDS = Object.keys(DIFFERENCE_WORDS) as DifferenceKind[];
/** What one comparison found, in words: `3 missing, 1 damaged`; or that there is no difference. */
export function countsInWords({ counts }: Comparison): string {
  const parts = KINDS.filter((kind) => counts[kind] > 0).map((kind) => `${counts[kind]} ${DIFFERENCE_WORDS[kind]}`);
  return parts.length === 0 ? 'no difference' : parts.join(', ');
}

/** The differences that are told one by one, those first that somebody has to care about. */
export function listDifferences(compared: readonly Comparison[]): (Difference & { readonly destination: string })[] {
  const all = compared.flatMap(({ destination, differences }) =>
    differences.map((difference) => ({ ...difference, destination })),
  );
  return all.sort((one, other) => KINDS.indexOf(one.kind) - KINDS.indexOf(other.kind));
}

export function copiesInWords(count: number): string {
  return `${numberOfCopies(count)} ${count === 1 ? 'is' : 'are'}`;
}

export function numberOfCopies(count: number): string {
  return count === 1 ? '1 copy' : `${count} copies`;
}

/** What became of a dump that another job left. */
export function adoptedInWords({ environment, backupId, anomaly, reason }: AdoptedDump): string {
  if (reason !== undefined)
    return `not adopted: ${reason.message}${reason.hint === undefined ? '' : ` (${reason.hint})`}`;
  const odd = anomaly === null ? '' : `, anomalous: ${anomaly}`;
  return `adopted as ${environment ?? ''}/${backupId ?? ''}${odd}`;
}
