import type { LiveHold } from '../../catalog/holds.ts';
import type { HoldResult } from '../../workflows/hold-backup.ts';
import type { RunEnd } from '../run-end.ts';

/** What holds a backup, as rows of a table. */
export function holdRows(hold: LiveHold): [string, string][] {
  const { reason, until, setBy, setAt, foundIn, releasing, counts } = hold;
  const when = until === null ? 'until it is released' : counts ? `until ${until}` : `no more: ended at ${until}`;
  const rows: [string, string][] = [
    ['held', `${when}, by ${setBy} at ${setAt}`],
    ['because', reason],
  ];
  if (foundIn !== null) rows.push(['', `found in ${foundIn}`]);
  if (releasing !== null)
    rows.push(['', `${releasing.by} began to release it at ${releasing.at}; it counts until that is done`]);
  return rows;
}

/** How a run ended that has set or released a hold. */
export function holdInWords({ workflow }: RunEnd, { backupId, hold, destinations, missing }: HoldResult): string[] {
  const releases = workflow === 'releaseBackup';
  const debts = missing.flatMap(({ destination, reason }) => [
    `  ${destination}: ${reason.message}`,
    ...(reason.hint === undefined ? [] : [`    → ${reason.hint}`]),
  ]);
  const there = destinations.length === 0 ? 'no destination' : destinations.join(', ');
  if (!releases) {
    const next =
      missing.length === 0 ? `cofre show ${backupId}` : 'cofre sync, when they are back, writes what is missing';
    return [`held: ${backupId} until ${hold?.until}, written in ${there}`, ...debts, `next: ${next}`];
  }
  if (missing.length > 0) {
    const still = hold === null ? 'what a released hold has left is still there' : `still held: ${backupId}`;
    return [`${still}; removed from ${there}`, ...debts, `next: cofre release ${backupId}, when they are back`];
  }
  return [hold === null ? `${backupId} was not held` : `released: ${backupId}, removed from ${there}`];
}
