import type { BackupResult } from '../workflows/backup-database.ts';
import type { CopiesResult } from '../workflows/copy-backups.ts';
import type { EnsureResult } from '../workflows/ensure-database.ts';
import type { HoldResult } from '../workflows/hold-backup.ts';
import type { RestoreResult } from '../workflows/restore-into.ts';
import type { RetireResult } from '../workflows/retire-destination.ts';
import type { RoutineResult } from '../workflows/night.ts';
import type { VerifyResult } from '../workflows/verify-copies.ts';
import type { SyncResult } from '../workflows/sync-catalog.ts';
import { EXIT, exitCodeOf } from './exit.ts';
import { printReason } from './failure.ts';
import { holdInWords } from './hold/words.ts';
import { bytesInWords, durationInWords, printJson, printText, say } from './print.ts';
import type { RunEnd } from './run-end.ts';
import { syncInWords } from './sync-words.ts';
import type { GlobalOptions } from './session.ts';
import type { RunId } from './start.ts';

/** Prints how a run ended, in words or as the one JSON document, and gives the command's exit code. */
export function reportEnd(options: GlobalOptions, end: RunEnd, inWords = endInWords): number {
  const { workflow, workflowId, runId, state, backupId, environment, startedAt, finishedAt, reason } = end;
  if (reason !== undefined) printReason(reason);
  else for (const line of inWords(end)) say(options, line);
  if (options.json) {
    const error =
      reason === undefined
        ? undefined
        : { code: reason.code, message: reason.message, ...(reason.hint === undefined ? {} : { hint: reason.hint }) };
    printJson({
      workflowId,
      runId,
      state,
      ...(backupId === null ? {} : { backupId }),
      environment,
      startedAt,
      finishedAt,
      ...(isAnomalous(end) ? { anomalous: true } : {}),
      ...(workflow === 'syncCatalog' && reason === undefined ? { sync: end.result } : {}),
      ...(isHold(workflow) && reason === undefined ? { hold: end.result } : {}),
      ...(error === undefined ? {} : { error }),
    });
  }
  if (reason !== undefined) return exitCodeOf(reason.code);
  return state === 'incomplete' || lacksAlias(end) ? EXIT.debt : EXIT.done;
}

function isAnomalous({ workflow, result }: RunEnd): boolean {
  return workflow === 'backupDatabase' && (result as BackupResult | undefined)?.anomaly != null;
}

function isHold(workflow: string): boolean {
  return workflow === 'holdBackup' || workflow === 'releaseBackup';
}

/** The backup is whole; what its old consumers read is not the newest. */
function lacksAlias({ workflow, result }: RunEnd): boolean {
  const aliases = workflow === 'backupDatabase' ? (result as BackupResult | undefined)?.aliases : undefined;
  return aliases?.some(({ state }) => state === 'missing') === true;
}

/** With --no-follow: the workflow id on stdout, for scripts, and how to go on, for people. */
export function reportStart(options: GlobalOptions, run: RunId, environment: string | null): void {
  if (options.json) {
    printJson({ ...run, state: 'running', environment, startedAt: new Date().toISOString(), finishedAt: null });
  } else {
    printText(run.workflowId);
  }
  say(options, `started; cofre follow ${run.workflowId} shows it`);
}

function endInWords(end: RunEnd): string[] {
  switch (end.workflow) {
    case 'backupDatabase':
      return backupInWords(end, end.result as BackupResult);
    case 'restoreDatabase':
      return restoreInWords(end.result as RestoreResult);
    case 'ensureDatabase': {
      const result = end.result as EnsureResult;
      return result.state === 'exists'
        ? [`exists: the database of ${result.environment} is there; nothing was done`]
        : restoreInWords(result);
    }
    case 'copyBackups':
      return copiesInWords(end, end.result as CopiesResult);
    case 'verifyCopies':
      return proofsInWords(end, end.result as VerifyResult);
    case 'syncCatalog':
      return syncInWords(end, end.result as SyncResult);
    case 'holdBackup':
    case 'releaseBackup':
      return holdInWords(end, end.result as HoldResult);
    case 'retireDestination':
      return retirementInWords(end, end.result as RetireResult);
    case 'runRoutine':
      return routineInWords(end, end.result as RoutineResult);
    default:
      return [`${end.workflow} of ${end.environment ?? end.workflowId}: ${end.state}`];
  }
}

function backupInWords(end: RunEnd, result: BackupResult): string[] {
  const { backupId, environment, state, copies, aliases = [], anomaly } = result;
  const share = result.rawBytes > 0 ? ` (${Math.round((result.sizeBytes / result.rawBytes) * 100)} %)` : '';
  return [
    `backup of ${environment} ${state} in ${took(end)}: ${backupId}`,
    `  ${result.rows} rows, ${bytesInWords(result.rawBytes)} of data, archive of ${bytesInWords(result.sizeBytes)}${share}, made on ${result.host}`,
    ...copies.map(
      ({ destination, state: copy, reason }) =>
        `  ${destination}: ${reason === undefined ? copy : `${copy}: ${reason.message}${reason.hint === undefined ? '' : `\n    → ${reason.hint}`}`}`,
    ),
    ...aliases.map(({ destination, state: alias, why, reason }) => {
      const because = why ?? reason?.message;
      return `  alias in ${destination}: ${because === undefined ? alias : `${alias}: ${because}`}`;
    }),
    ...(anomaly === null
      ? []
      : [`  anomalous: ${anomaly}`, `    → if the database is as it should be: cofre accept ${backupId}`]),
    `next: cofre show ${backupId}, or cofre restore --from ${environment} --backup ${backupId} --to ${environment}`,
  ];
}

function copiesInWords(end: RunEnd, { environment, sizeBytes, copies }: CopiesResult): string[] {
  if (copies.length === 0) return [`copies of ${environment}: nothing was missing`];
  const made = copies.filter(({ state }) => state === 'verified').length;
  return [
    `copies of ${environment}: ${made} of ${copies.length} made and verified in ${took(end)}, ${bytesInWords(sizeBytes)}`,
    ...copies.flatMap(({ backupId, destination, reason }) =>
      reason === undefined
        ? []
        : [
            `  ${backupId} in ${destination}: missing: ${reason.message}`,
            `    → ${reason.hint ?? `cofre copy ${backupId} --to ${destination}`}`,
          ],
    ),
    `next: cofre backups ${environment}`,
  ];
}

function proofsInWords(end: RunEnd, { environment, sizeBytes, copies }: VerifyResult): string[] {
  if (copies.length === 0) return [`copies of ${environment}: none was to be read again`];
  const whole = copies.filter(({ state }) => state === 'verified').length;
  return [
    `copies of ${environment}: ${whole} of ${copies.length} read again in ${took(end)} and whole, ${bytesInWords(sizeBytes)}`,
    ...copies.flatMap(({ backupId, destination, state, reason }) =>
      reason === undefined ? [] : [`  ${backupId} in ${destination}: ${state}: ${reason.message}`],
    ),
    `next: cofre backups ${environment}`,
  ];
}

function restoreInWords(result: RestoreResult): string[] {
  const kept = ({ name, keptFor }: Replaced): string =>
    `kept as ${name}, closed, for ${keptFor}; cofre runs --all shows the run that removes it`;
  return [...restoredInWords(result, kept), 'next: use the environment'];
}

type Replaced = NonNullable<RestoreResult['oldDatabase']>;

/** What a restore came to; `kept` says what becomes of the database that it replaced. */
export function restoredInWords(result: RestoreResult, kept: (old: Replaced) => string): string[] {
  const { environment, state, dataFrom, oldDatabase, warnings } = result;
  const what =
    state === 'created'
      ? 'a new, empty database'
      : `${result.rows} rows${result.backupId === null ? '' : ` of ${result.backupId}`}`;
  const lines = [`${state}: ${environment} has ${what}, in ${durationInWords(result.tookMs)}`];
  if (dataFrom !== null)
    lines.push(
      `  the data are from ${dataFrom}, ${durationInWords(Date.now() - Date.parse(dataFrom))} ago: what was entered since is not in it`,
    );
  if (oldDatabase !== null) lines.push(`  the database it replaced is ${kept(oldDatabase)}`);
  for (const warning of warnings) lines.push(`  note: ${warning}`);
  return lines;
}

function retirementInWords(end: RunEnd, result: RetireResult): string[] {
  const { destination, forgotten, left, leftBackups } = result;
  const words = `${forgotten} ${forgotten === 1 ? 'copy' : 'copies'} in ${destination} forgotten in ${took(end)}; nothing was removed there`;
  if (left === 0) return [words, `next: take ${destination} out of destinations: in cofre.yaml, then cofre apply`];
  return [
    words,
    `  kept, because only ${destination} has something of them: ${leftBackups.join(', ')}${left > leftBackups.length ? ', …' : ''}`,
    `next: cofre sync ${destination} --repair, then retire it again`,
  ];
}

function routineInWords(end: RunEnd, { routine, environments, sync }: RoutineResult): string[] {
  if (sync !== undefined) return [`routine ${routine} done in ${took(end)}`, ...syncInWords(end, sync)];
  const sizeBytes = environments.reduce((sum, { sizeBytes: size }) => sum + (size ?? 0), 0);
  return [
    `routine ${routine} done in ${took(end)}: ${environments.length === 1 ? '1 environment' : `${environments.length} environments`}, ${bytesInWords(sizeBytes)}`,
  ];
}

function took({ startedAt, finishedAt }: RunEnd): string {
  return durationInWords(Date.parse(finishedAt) - Date.parse(startedAt));
}
