import type { RestorePlan } from '../activities/plans.ts';
import type { FetchReport, LoadReport, RestoreCheck } from '../activities/reports.ts';
import type { Reason } from './failure.ts';
import { bytesInWords, durationInWords } from './phase.ts';
import type { RestoreResult } from './restore-into.ts';

/** All that the page of a restore tells. */
export interface RestoreProgress {
  readonly plan: RestorePlan;
  readonly host: string;
  readonly checked: RestoreCheck;
  step: 'fetch' | 'load' | 'swap' | 'cleaning' | 'done' | 'failed';
  fetched?: FetchReport;
  loaded?: LoadReport;
  result?: RestoreResult;
  reason?: Reason;
}

const NOW: Readonly<Record<RestoreProgress['step'], string>> = {
  fetch: 'Fetches the backup into the spool, checks its hash and unpacks it. The live database is untouched.',
  load: 'Loads into a new database under a temporary name and compares it with the manifest. The live database is untouched.',
  swap: 'Swaps the names in one transaction.',
  cleaning: 'Removes what only the restore needed.',
  done: 'Done.',
  failed: 'Failed.',
};

/** The page of a restore in Markdown: what happens, in words and numbers, and the next step. */
export function describeRestore(progress: RestoreProgress): string {
  const { plan, reason, fetched, loaded } = progress;
  const lines = [
    `**Restore into ${plan.environment.id}** (${plan.database} on ${plan.server.name}), \`${plan.restoreId}\``,
    '',
  ];
  lines.push(
    reason === undefined ? `Now: ${NOW[progress.step]}` : `**Failed (${reason.code}).** ${reason.message}`,
    '',
  );
  lines.push(
    '| | |',
    '|---|---|',
    ...planRows(plan, progress.checked).map(([name, value]) => `| ${name} | ${value.replaceAll('|', '\\|')} |`),
  );
  lines.push(`| host | ${progress.host} |`);
  if (fetched !== undefined) lines.push(`| fetched | ${bytesInWords(fetched.bytes)} from ${fetched.from} |`);
  if (loaded !== undefined) {
    lines.push(
      `| loaded | ${loaded.rows} rows in ${loaded.tables} tables, in ${durationInWords(loaded.tookMs)}; ${loaded.compared} |`,
    );
  }
  lines.push('', `Next step: ${nextStep(progress)}`);
  return lines.join('\n');
}

/** The plan of a restore as pairs of words: the same in the UI and on the command line. */
export function planRows(plan: RestorePlan, checked: RestoreCheck): [string, string][] {
  const { source } = plan;
  const rows: [string, string][] = [
    ['into', `${plan.environment.id} (${plan.environment.stage}): database ${plan.database}, owner ${plan.owner}`],
  ];
  if (source.type === 'backup') {
    rows.push([
      'backup',
      `${source.backupId}, data from ${source.snapshotAt}, ${bytesInWords(source.sizeBytes)} (${bytesInWords(source.rawBytes)} raw)`,
    ]);
    rows.push(['copies', source.copies.map(({ destination }) => destination.name).join(', then ')]);
    for (const { backupId, why } of source.passedOver) rows.push(['passed over', `${backupId}: ${why}`]);
  } else {
    rows.push(['source', source.type === 'file' ? `the dump ${source.path}` : 'nothing: an empty database']);
  }
  rows.push([
    'server',
    `${plan.server.name} (${plan.server.host}:${plan.server.port}), PostgreSQL ${checked.serverVersion}${checked.newServer ? ', a new and empty server' : ''}`,
  ]);
  rows.push([
    'replaces',
    checked.liveOid === null
      ? 'nothing: the database does not exist'
      : `the database ${plan.database}; it is kept, closed, for ${plan.keepOldDatabaseFor}`,
  ]);
  if (checked.rolesToCreate.length > 0) rows.push(['creates roles', checked.rolesToCreate.join(', ')]);
  if (checked.extensions.length > 0) rows.push(['creates extensions', checked.extensions.join(', ')]);
  for (const warning of checked.warnings) rows.push(['note', warning]);
  return rows;
}

function nextStep({ plan, step, reason, result }: RestoreProgress): string {
  if (reason?.code === 'cancelled') return 'none; the live database is as it was.';
  if (reason !== undefined) return `${reason.hint ?? 'look at the failed step below'}. The live database is as it was.`;
  if (step !== 'done') return 'none for you; the run goes on by itself.';
  if (result?.oldDatabase != null) {
    return `use the environment. The replaced database is ${result.oldDatabase.name}; it is removed after ${plan.keepOldDatabaseFor} (cancel that run to keep it).`;
  }
  return 'use the environment.';
}
