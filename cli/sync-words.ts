import type { SyncResult } from '../workflows/sync-catalog.ts';
import {
  adoptedInWords,
  copiesInWords,
  countsInWords,
  DIFFERENCE_WORDS,
  listDifferences,
  numberOfCopies,
} from '../workflows/differences-text.ts';
import { durationInWords } from './print.ts';
import type { RunEnd } from './run-end.ts';

/** What a run of `syncCatalog` found and did, in words. */
export function syncInWords(
  { startedAt, finishedAt, workflowId }: RunEnd,
  { compared, notCompared, adopted, moreDumps, repaired, unverified, holdsUnwritten, holdsUnconfirmed }: SyncResult,
): string[] {
  const copies = compared.reduce((sum, one) => sum + one.compared, 0);
  const took = durationInWords(Date.parse(finishedAt) - Date.parse(startedAt));
  const lines = [`compared ${numberOfCopies(copies)} in ${took}`];
  for (const { destination, reason } of notCompared) {
    lines.push(`  ${destination}: not compared to its end: ${reason.message}`);
    if (reason.hint !== undefined) lines.push(`    → ${reason.hint}`);
  }
  for (const one of compared) lines.push(`  ${one.destination}: ${countsInWords(one)}`);
  for (const { kind, destination, environment, backupId, what } of listDifferences(compared)) {
    const of = backupId === null ? '' : `${environment}/${backupId} `;
    lines.push(`    ${of}in ${destination}: ${DIFFERENCE_WORDS[kind]}: ${what}`);
  }
  const told = listDifferences(compared).length;
  const all = compared.flatMap(({ counts }) => Object.values(counts)).reduce((sum, count) => sum + count, 0);
  if (all > told) lines.push(`    and ${all - told} more`);
  for (const dump of adopted) lines.push(`  ${dump.key} in ${dump.destination}: ${adoptedInWords(dump)}`);
  if (moreDumps > 0) lines.push(`  ${moreDumps} more dumps of other jobs are left for the next run`);
  for (const { environment, verified, missing, reason } of repaired) {
    lines.push(`  repair of ${environment}: ${verified} verified, ${missing} could not be`);
    if (reason !== undefined) lines.push(`    ${reason.code}: ${reason.message}`);
  }
  const next: string[] = [];
  if (unverified > 0) {
    lines.push(`${copiesInWords(unverified)} missing, damaged or not proven yet`);
    next.push(repaired.length === 0 ? 'cofre sync --repair' : `the page of ${workflowId} in the Temporal UI tells why`);
  } else if (adopted.some(({ reason }) => reason !== undefined))
    next.push('look why these dumps were not adopted, above');
  else if (moreDumps > 0) next.push('cofre sync');
  if (holdsUnwritten > 0) {
    lines.push(`the hold is missing beside ${numberOfCopies(holdsUnwritten)}`);
    next.push('look why it could not be written, above, and cofre sync again');
  }
  if (holdsUnconfirmed) {
    lines.push('backups or holds were taken in: nothing is pruned until somebody confirms the holds');
    next.push('cofre catalog confirm');
  }
  return [...lines, `next: ${next.length === 0 ? 'nothing to do' : next.join('; then ')}`];
}
