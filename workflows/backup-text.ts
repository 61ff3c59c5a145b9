import type { ArchiveReport, DumpReport } from '../activities/reports.ts';
import type { BackupPlan } from '../activities/plans.ts';
import type { CopyOutcome } from './copy-to.ts';
import type { Reason } from './failure.ts';
import { bytesInWords, durationInWords } from './phase.ts';

/** All that the page of a backup tells. */
export interface BackupProgress {
  readonly plan: BackupPlan;
  step: 'preflight' | 'dump' | 'compress' | 'copies' | 'cleaning' | 'done' | 'failed';
  host?: string;
  estimatedBytes?: number;
  dumped?: DumpReport;
  archive?: ArchiveReport;
  copies: readonly CopyOutcome[];
  reason?: Reason;
  /** In words, what a run that failed could not or would not remove. */
  leftBehind?: string | undefined;
}

const NOW: Readonly<Record<BackupProgress['step'], string>> = {
  preflight: 'Looks whether the database can be read in full, and whether there is room.',
  dump: 'Dumps the database in one snapshot. The bytes so far are in the pending activity `dump` below.',
  compress: 'Compresses the dump into one archive. The environment is free again for other runs.',
  copies: 'Sends the archive to each destination, reads it back and proves that it can be decoded in full.',
  cleaning: 'Removes the local files.',
  done: 'Done.',
  failed: 'Failed.',
};

/** The page of a backup in Markdown: what happens, in words and numbers, and the next step. */
export function describeBackup(progress: BackupProgress): string {
  const { plan, dumped, archive, reason } = progress;
  const lines = [
    `**Backup of ${plan.environment.id}** (${plan.database} on ${plan.server.name}), \`${plan.backupId}\``,
    '',
  ];
  lines.push(
    reason === undefined ? `Now: ${NOW[progress.step]}` : `**Failed (${reason.code}).** ${reason.message}`,
    '',
  );
  lines.push('| | |', '|---|---|', `| host | ${progress.host ?? 'to be chosen'} |`);
  if (progress.estimatedBytes !== undefined)
    lines.push(`| expected | about ${bytesInWords(progress.estimatedBytes)} of raw data |`);
  if (dumped !== undefined) {
    lines.push(
      `| dumped | ${dumped.rows} rows in ${dumped.tables} tables, ${bytesInWords(dumped.rawBytes)}, in ${durationInWords(dumped.tookMs)} |`,
    );
    for (const warning of dumped.warnings.slice(0, 5)) lines.push(`| warning | ${warning.replaceAll('|', '\\|')} |`);
  }
  if (archive !== undefined)
    lines.push(`| archive | ${bytesInWords(archive.sizeBytes)}, SHA-256 \`${archive.sha256.slice(0, 16)}…\` |`);
  const copies = progress.copies.map(
    (copy) => `${copy.destination}: ${copy.state}${copy.reason === undefined ? '' : ` (${copy.reason.message})`}`,
  );
  lines.push(
    `| copies | ${copies.length > 0 ? copies.join('; ').replaceAll('|', '\\|') : plan.destinations.map(({ name }) => name).join(', ')} |`,
    '',
  );
  lines.push(`Next step: ${nextStep(progress)}`);
  return lines.join('\n');
}

function nextStep(progress: BackupProgress): string {
  const { plan, reason, copies } = progress;
  if (reason?.code === 'cancelled') return `none; ${progress.leftBehind ?? 'nothing was left behind'}.`;
  if (reason !== undefined) {
    const left = progress.leftBehind === undefined ? '' : ` (${progress.leftBehind})`;
    return `${reason.hint ?? 'look at the failed step below'}; then \`cofre backup ${plan.environment.id}\`${left}.`;
  }
  if (progress.step !== 'done') return 'none for you; the run ends by itself, by ' + plan.endsAt + ' at the latest.';
  if (copies.some((copy) => copy.state === 'missing'))
    return `mend the destination that has no copy; \`cofre show ${plan.backupId}\` names it.`;
  return `none. \`cofre show ${plan.backupId}\` shows the backup, \`cofre restore --from ${plan.environment.id} --backup ${plan.backupId} --to ${plan.environment.id}\` restores it.`;
}
