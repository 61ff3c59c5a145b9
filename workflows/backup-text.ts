import type { ArchiveReport, DumpReport } from '../activities/reports.ts';
import type { BackupPlan } from '../activities/plans.ts';
import type { CopyOutcome } from './copy-to.ts';
import type { Reason } from './failure.ts';
import type { AliasOutcome } from './publish-alias.ts';
import { asWritten, failedState, mendFirst, type Page } from './page.ts';
import { waitNext, waitState, type Waits } from './waits.ts';
import { bytesInWords, durationInWords, sentence, timeInWords } from './words.ts';

/** All that the page of a backup tells. */
export interface BackupProgress {
  readonly plan: BackupPlan;
  step: 'preflight' | 'dump' | 'compress' | 'copies' | 'cleaning' | 'done' | 'failed';
  readonly waits: Waits;
  host?: string;
  estimatedBytes?: number;
  dumped?: DumpReport;
  /** Of every dump that was finished; more than one where hosts were lost with theirs. */
  readonly attempts: Set<string>;
  archive?: ArchiveReport | undefined;
  copies: readonly CopyOutcome[];
  aliases: readonly AliasOutcome[];
  reason?: Reason;
  /** In words, what the run could not or would not remove. */
  leftBehind?: string | undefined;
}

const NOW: Readonly<Record<Exclude<BackupProgress['step'], 'done' | 'failed'>, string>> = {
  preflight: '**Now (step 1 of 5):** looks whether the database can be read in full, and whether there is room.',
  dump: '**Now (step 2 of 5):** dumps the database in one snapshot. The tab Pending Activities shows how many bytes so far.',
  compress:
    '**Now (step 3 of 5):** compresses the dump into one archive. The environment is free for other runs again.',
  copies: '**Now (step 4 of 5):** sends the archive to each destination, reads it back there and decodes it in full.',
  cleaning: '**Now (step 5 of 5):** removes the local files.',
};

/** The page of a backup: what happens, in words and numbers, and the next step. */
export function describeBackup(progress: BackupProgress): Page {
  const { plan } = progress;
  return {
    title: `**Backup of ${plan.environment.id}** (database ${plan.database} on ${plan.server.name})`,
    state: stateOf(progress),
    next: nextStep(progress),
    facts: factsOf(progress),
  };
}

/** Destinations that have no copy: a debt, until somebody mends them. */
export function missingCopies({ copies }: BackupProgress): CopyOutcome[] {
  return copies.filter(({ state }) => state === 'missing');
}

/** Destinations whose alias is older than it should be. */
export function missingAliases({ aliases }: Pick<BackupProgress, 'aliases'>): AliasOutcome[] {
  return aliases.filter(({ state }) => state === 'missing');
}

function stateOf(progress: BackupProgress): string {
  const { step, reason, waits } = progress;
  if (reason !== undefined) return failedState(reason);
  if (waits.size > 0) return waitState(waits);
  if (step !== 'done' && step !== 'failed') return NOW[step];
  const missing = missingCopies(progress).length;
  const anomaly = progress.dumped?.anomaly;
  if (anomaly != null) return `**Done, but marked as anomalous:** ${asWritten(anomaly)}.`;
  if (missing === 0 && missingAliases(progress).length > 0)
    return '**Done, with a debt:** every copy is verified, and the alias for old consumers could not be published.';
  return missing === 0
    ? '**Done.** Every copy was read back from its destination and decoded in full.'
    : `**Done, with a debt:** ${missing} of ${progress.copies.length} copies ${missing === 1 ? 'is' : 'are'} missing.`;
}

function nextStep(progress: BackupProgress): string {
  const { plan, step, reason, waits, copies, leftBehind } = progress;
  const { id } = plan.environment;
  if (reason?.code === 'cancelled') {
    if (copies.some(({ state }) => state === 'verified')) return 'none. The verified copy stays: an incomplete backup.';
    return `none. ${asWritten(sentence(leftBehind ?? 'nothing was left behind'))}`;
  }
  if (reason !== undefined) {
    const left = leftBehind === undefined ? '' : ` ${asWritten(sentence(leftBehind))}`;
    if (reason.code === 'database-missing')
      return `\`cofre ensure ${id}\` brings it back from its latest backup.${left}`;
    return `${mendFirst(reason)}; then \`cofre backup ${id}\`, or above More Actions, Start Workflow Like This One.${left}`;
  }
  if (waits.size > 0) return waitNext(waits);
  if (step !== 'done') return `none for you. The run ends by itself, by ${timeInWords(plan.endsAt)} at the latest.`;
  const missing = missingCopies(progress);
  if (progress.dumped?.anomaly != null)
    return `look at the database. If it is as it should be: \`cofre accept ${plan.backupId}\`; if not, \`cofre restore --from ${id} --latest --to ${id}\` takes the backup before.`;
  if (leftBehind !== undefined) return `${asWritten(sentence(leftBehind))} The backup is whole without it.`;
  if (missing.length > 0) return copyMissing(plan.backupId, missing);
  const [alias] = missingAliases(progress);
  if (alias !== undefined)
    return `mend ${alias.destination}; the next backup publishes its alias, or \`cofre backup ${id}\` now.`;
  return `none. \`cofre restore --backup ${plan.backupId} --to ${id}\` would restore it.`;
}

function copyMissing(backupId: string, missing: readonly CopyOutcome[]): string {
  const names = missing.map(({ destination }) => destination);
  const command = `\`cofre copy ${backupId} --to ${names.join(' ')}\``;
  return `mend ${names.join(', ')}; then ${command} copies it there, or the next night does.`;
}

function factsOf(progress: BackupProgress): [string, string][] {
  const { plan, host, estimatedBytes, dumped, archive, copies, aliases, reason } = progress;
  const facts: [string, string][] = [
    ['backup', `\`${plan.backupId}\``],
    ['host', host ?? (reason === undefined ? 'to be chosen' : 'none was chosen')],
  ];
  if (dumped === undefined && estimatedBytes !== undefined)
    facts.push(['expected', `about ${bytesInWords(estimatedBytes)} of raw data`]);
  if (dumped !== undefined) {
    const { rows, tables, rawBytes, tookMs, warnings } = dumped;
    facts.push([
      'dumped',
      `${rows} rows in ${tables} tables, ${bytesInWords(rawBytes)}, in ${durationInWords(tookMs)}`,
    ]);
    for (const warning of warnings.slice(0, 5)) facts.push(['warning', asWritten(warning)]);
  }
  if (archive !== undefined)
    facts.push(['archive', `${bytesInWords(archive.sizeBytes)}, SHA-256 \`${archive.sha256.slice(0, 16)}…\``]);
  for (const { name } of plan.destinations)
    facts.push([`copy in ${name}`, copyInWords(copies, name) ?? (reason === undefined ? 'not yet' : 'none')]);
  for (const { destination, state, why, reason: failure } of aliases)
    facts.push([`alias in ${destination}`, aliasInWords(state, why ?? failure?.message)]);
  return facts;
}

function aliasInWords(state: AliasOutcome['state'], why: string | undefined): string {
  return why === undefined ? state : `${state}: ${asWritten(why)}`;
}

function copyInWords(copies: readonly CopyOutcome[], destination: string): string | undefined {
  const copy = copies.find((one) => one.destination === destination);
  if (copy === undefined) return undefined;
  return copy.reason === undefined ? copy.state : `${copy.state}: ${asWritten(copy.reason.message)}`;
}
