import { cut } from './told.ts';

/**
 * `missing` and `damaged` copies; `imported`: a backup or a copy that the catalog did not know; `found`: a copy that was missing is
 * there again; `refused`: a manifest that is not taken, and why; `hold`: of a hold the catalog knew another thing than the destination, and
 * what was done; `extra`: objects that belong to no backup.
 */
export type DifferenceKind = 'missing' | 'damaged' | 'imported' | 'found' | 'refused' | 'hold' | 'extra';

export interface Difference {
  readonly kind: DifferenceKind;
  readonly environment: string | null;
  readonly backupId: string | null;
  readonly what: string;
}

/** What comparing one destination with the catalog has shown. It lies in Temporal's history, so it does not grow with what is there. */
export interface Comparison {
  readonly destination: string;
  /** Copies of which the catalog knew. */
  readonly compared: number;
  readonly counts: Readonly<Record<DifferenceKind, number>>;
  /** The first of each kind. */
  readonly differences: readonly Difference[];
}

/** Of each kind; of the rest only the number is told. */
const TOLD = 20;
const WORDS_LENGTH = 300;

/** Collects differences: counts all of them, and keeps the first of each kind. */
export class Differences {
  readonly #destination: string;
  readonly #kept: Difference[] = [];
  readonly #counts = { missing: 0, damaged: 0, imported: 0, found: 0, refused: 0, hold: 0, extra: 0 };

  constructor(destination: string) {
    this.#destination = destination;
  }

  add(kind: DifferenceKind, of: { environment: string; backupId: string } | null, what: string): void {
    this.#counts[kind] += 1;
    if (this.#counts[kind] > TOLD) return;
    const { environment, backupId } = of ?? { environment: null, backupId: null };
    this.#kept.push({ kind, environment, backupId, what: cut(what, WORDS_LENGTH) });
  }

  /** `moreElsewhere`: objects in no backup's folder that were only counted. */
  report({ compared, moreElsewhere }: { compared: number; moreElsewhere: number }): Comparison {
    const counts = { ...this.#counts, extra: this.#counts.extra + moreElsewhere };
    return { destination: this.#destination, compared, counts, differences: this.#kept };
  }
}
