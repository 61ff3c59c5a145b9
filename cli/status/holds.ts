import { unconfirmedSince } from '../../catalog/hold-confirmations.ts';
import { liveHolds, missingHoldFiles } from '../../catalog/holds.ts';
import type { Catalog } from '../../catalog/open.ts';
import { numberOfCopies } from '../../workflows/differences-text.ts';

/** How the holds of the whole installation stand. */
export interface HoldStatus {
  /** Backups that are held now. */
  readonly held: number;
  /** Copies beside which the hold's file is missing. */
  readonly missing: readonly { readonly backupId: string; readonly destination: string }[];
  /** Since when somebody has to look at what was found; null where nobody has to. */
  readonly unconfirmedSince: string | null;
}

export async function holdStatus(catalog: Catalog, destinations: readonly string[]): Promise<HoldStatus> {
  return {
    held: (await liveHolds(catalog)).filter(({ counts }) => counts).length,
    missing: await missingHoldFiles(catalog, destinations),
    unconfirmedSince: await unconfirmedSince(catalog),
  };
}

export function holdLines({ held, missing, unconfirmedSince: since }: HoldStatus): string[] {
  const lines: string[] = [];
  if (held > 0)
    lines.push(`held: ${held === 1 ? '1 backup' : `${held} backups`}; cofre backups shows which, cofre show why`);
  if (missing.length > 0) {
    const places = [...new Set(missing.map(({ destination }) => destination))].join(', ');
    lines.push(`the hold is missing beside ${numberOfCopies(missing.length)} in ${places}: cofre sync writes it`);
  }
  if (since !== null)
    lines.push(
      `holds are not confirmed since ${since}: nothing is pruned and no destination retired; cofre catalog confirm`,
    );
  return lines.length === 0 ? [] : [lines.join('\n')];
}
