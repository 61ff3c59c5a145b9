import type { RestorePlan } from '../activities/plans.ts';
import type { FetchReport, LoadReport, RestoreCheck } from '../activities/reports.ts';
import type { Reason } from './failure.ts';
import { asWritten, failedState, mendFirst, runLink, type Page } from './page.ts';
import type { RestoreResult } from './restore-into.ts';
import { waitNext, waitState, type Waits } from './waits.ts';
import { bytesInWords, durationInWords, sentence, timeInWords } from './words.ts';

/** All that the page of a restore tells. */
export interface RestoreProgress {
  readonly plan: RestorePlan;
  host: string;
  readonly checked: RestoreCheck;
  readonly waits: Waits;
  step: 'fetch' | 'load' | 'swap' | 'cleaning' | 'done' | 'failed';
  fetched?: FetchReport;
  /** Of the database that is there when the load begins; null: there is none. */
  liveOid?: number | null;
  loaded?: LoadReport;
  result?: RestoreResult;
  /** The run that removes the replaced database, and when. */
  removal?: { readonly workflowId: string; readonly at: string };
  reason?: Reason;
  /** In words, what could not be removed. */
  leftBehind?: string;
  /** Why it is not known whether the names were swapped. */
  swapUnknown?: string;
  /** What should have ended the restore and came after the swap. */
  tooLate?: string;
}

const UNTOUCHED = 'The live database is untouched.';
const NOW: Readonly<Record<Exclude<RestoreProgress['step'], 'done' | 'failed'>, string>> = {
  fetch: `**Now (step 1 of 4):** fetches the backup into the spool, checks its hash and unpacks it. ${UNTOUCHED}`,
  load: `**Now (step 2 of 4):** loads into a new database under a temporary name and compares it with the manifest. ${UNTOUCHED}`,
  swap: `**Now (step 3 of 4):** swaps the names in one transaction. ${UNTOUCHED}`,
  cleaning: '**Now (step 4 of 4):** the environment has its database; removes what only the restore needed.',
};

/** The page of a restore: what happens, in words and numbers, and the next step. */
export function describeRestore(progress: RestoreProgress): Page {
  const { plan, checked, host, fetched, loaded } = progress;
  const facts: [string, string][] = [
    ...asFacts(planRows(plan, checked)),
    ['restore', `\`${plan.restoreId}\``],
    ['host', host],
  ];
  if (fetched !== undefined) facts.push(['fetched', `${bytesInWords(fetched.bytes)} from ${fetched.from}`]);
  if (loaded !== undefined) {
    const { rows, tables, tookMs, phases, compared } = loaded;
    facts.push(['loaded', `${rows} rows in ${tables} tables, in ${durationInWords(tookMs)}; ${compared}`]);
    facts.push(['took', phases.map((part) => `${part.phase} ${durationInWords(part.tookMs)}`).join(', ')]);
  }
  const { loaded: { warnings = [] } = {}, tooLate } = progress;
  const notes = warnings.filter((warning) => !checked.warnings.includes(warning)).concat(tooLate ?? []);
  for (const note of notes) facts.push(['note', asWritten(note)]);
  return {
    title: `**Restore into ${plan.environment.id}** (database ${plan.database} on ${plan.server.name})`,
    state: stateOf(progress),
    next: nextStep(progress),
    facts,
  };
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
      `${source.backupId}, data of ${timeInWords(source.snapshotAt)}, ${bytesInWords(source.sizeBytes)} (${bytesInWords(source.rawBytes)} raw)`,
    ]);
    rows.push(['copies', source.copies.map(({ destination }) => destination.name).join(', then ')]);
    if (source.anomalous)
      rows.push(['anomalous', 'much less is in it than in the backup before; `cofre show` tells how much']);
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
  if (checked.memberships.length > 0) rows.push(['gives memberships', checked.memberships.join(', ')]);
  if (checked.extensions.length > 0) rows.push(['creates extensions', checked.extensions.join(', ')]);
  for (const warning of checked.warnings) rows.push(['note', warning]);
  return rows;
}

export function asFacts(rows: readonly (readonly [string, string])[]): [string, string][] {
  return rows.map(([name, value]) => [name, asWritten(value)]);
}

function stateOf({ plan, step, reason, result, waits }: RestoreProgress): string {
  if (reason !== undefined) return failedState(reason);
  if (waits.size > 0) return waitState(waits);
  if (step !== 'done' && step !== 'failed') return NOW[step];
  if (result?.dataFrom == null) return `**Done.** ${plan.environment.id} has its database.`;
  return `**Done.** ${plan.environment.id} has the data of ${timeInWords(result.dataFrom)}: what was entered since is not in it.`;
}

function nextStep(progress: RestoreProgress): string {
  const { plan, step, reason, waits, result, removal, leftBehind, swapUnknown } = progress;
  const left = leftBehind === undefined ? '' : ` ${asWritten(sentence(leftBehind))}`;
  if (reason !== undefined) {
    const live =
      swapUnknown === undefined
        ? 'The live database is as it was.'
        : `Whether the names were swapped already is not known (${asWritten(swapUnknown)}): look at the databases of the server.`;
    const mend = reason.code === 'cancelled' ? 'none' : `${mendFirst(reason)}; then start it again`;
    return `${mend}. ${live}${left}`;
  }
  if (waits.size > 0) return waitNext(waits);
  if (step !== 'done') return `none for you. The run ends by itself, by ${timeInWords(plan.endsAt)} at the latest.`;
  if (result?.oldDatabase == null || removal === undefined) return `use the environment.${left}`;
  return `use the environment.${left} The replaced database is ${result.oldDatabase.name}, closed; ${runLink(removal.workflowId, 'this run')} removes it at ${timeInWords(removal.at)}. Cancel that run to keep it.`;
}
