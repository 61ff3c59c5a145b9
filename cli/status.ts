import type { Command } from 'commander';

import { readApplied } from '../activities/applied.ts';
import { readHealth, type Health } from '../catalog/health.ts';
import type { AppliedConfig } from '../config/schema.ts';
import { CofreError, messageOf } from '../errors/error.ts';
import { requireKnown } from './environment.ts';
import { EXIT } from './exit.ts';
import { examplesAndExits } from './help.ts';
import { durationInWords, table } from './print.ts';
import { printResult } from './result.ts';
import { timeInWords } from './routine.ts';
import { Session, type GlobalOptions } from './session.ts';
import { holdLines, holdStatus, type HoldStatus } from './status/holds.ts';
import {
  queueStatus,
  routineStatus,
  runningRuns,
  type QueueStatus,
  type RoutineStatus,
  type RunningRun,
} from './status/temporal.ts';

export function register(program: Command, globals: () => GlobalOptions): void {
  program
    .command('status')
    .summary('what runs, waits and fails now, and how each environment stands')
    .description(
      'Shows what runs and what it waits for, the newest verified backup of each environment, and what comes next.',
    )
    .argument('[env]', 'only one environment')
    .addHelpText(
      'after',
      examplesAndExits(['cofre status', 'cofre status acme-prod', 'cofre status --json'], [0, 2, 4]),
    )
    .action(async (environment: string | undefined) => {
      const options = globals();
      const session = await Session.open(options);
      try {
        const status = await look(session, environment);
        printResult(options, status, statusInWords(status));
        if (status.unreachable.length > 0) process.exitCode = EXIT.unreachable;
      } finally {
        await session.close();
      }
    });
}

export interface Status {
  /** What could not be asked, and why; what the others know is shown all the same. */
  readonly unreachable: readonly string[];
  readonly configVersion: number | null;
  readonly runs: readonly RunningRun[];
  readonly workers: readonly QueueStatus[];
  readonly environments: readonly (Health & { readonly stage: string })[];
  readonly routines: readonly RoutineStatus[];
  readonly holds: HoldStatus | null;
}

/** Asks the catalog and Temporal, each for what it knows. @throws CofreError `not-known` for the environment. */
export async function look(session: Session, environment: string | undefined): Promise<Status> {
  const unreachable: string[] = [];
  const orSay = async <T>(ask: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await ask();
    } catch (error) {
      unreachable.push(
        error instanceof CofreError && error.hint !== undefined ? `${error.message} → ${error.hint}` : messageOf(error),
      );
      return undefined;
    }
  };
  const applied = await orSay(async () => await readApplied(await session.catalog()));
  const config: AppliedConfig | undefined = applied?.config;
  const names = Object.keys(config?.environments ?? {});
  // Without the catalog there is no list to look it up in, and a name goes into a query.
  const isName = environment === undefined || /^[a-z0-9-]{1,63}$/.test(environment);
  if (environment !== undefined && (config !== undefined || !isName)) requireKnown('environment', environment, names);
  const shown = environment === undefined ? names : [environment];
  const health =
    config === undefined
      ? undefined
      : await orSay(async () => await readHealth(await session.catalog(), shown, Object.keys(config.destinations)));
  const holds =
    config === undefined
      ? undefined
      : await orSay(async () => await holdStatus(await session.catalog(), Object.keys(config.destinations)));
  const fromTemporal = await orSay(async () => {
    const client = await session.client();
    return {
      runs: await runningRuns(client, environment),
      workers: await queueStatus(client, Object.keys(config?.hosts ?? {})),
      routines: await routineStatus(client, Object.keys(config?.routines ?? {})),
    };
  });
  return {
    unreachable,
    configVersion: applied?.version ?? null,
    runs: fromTemporal?.runs ?? [],
    workers: fromTemporal?.workers ?? [],
    environments: (health ?? []).map((one) => ({ ...one, stage: config?.environments[one.environment]?.stage ?? '' })),
    routines: fromTemporal?.routines ?? [],
    holds: holds ?? null,
  };
}

function statusInWords(status: Status): string {
  const parts: string[] = [];
  if (status.unreachable.length > 0)
    parts.push(status.unreachable.map((line) => `cannot be asked: ${line}`).join('\n'));
  const idle = status.workers.filter(({ working }) => !working);
  for (const { host } of idle) {
    parts.push(
      host === null
        ? 'no worker takes workflows: nothing moves; start cofre worker'
        : `no worker of ${host}: its backups and restores wait; start cofre worker --host ${host}`,
    );
  }
  if (status.runs.length > 0)
    parts.push(table([['RUNNING', 'ENVIRONMENT', 'PHASE', 'WAITS FOR', 'FOR', 'ID'], ...status.runs.map(runRow)]));
  else if (status.workers.length > 0) parts.push('nothing runs now');
  if (status.environments.length > 0) {
    parts.push(
      table([
        ['ENVIRONMENT', 'STAGE', 'NEWEST VERIFIED', 'DATA FROM', 'TROUBLE'],
        ...status.environments.map(healthRow),
      ]),
    );
  }
  if (status.routines.length > 0) parts.push(table([['ROUTINE', 'NEXT', ''], ...status.routines.map(routineRow)]));
  if (status.holds !== null) parts.push(...holdLines(status.holds));
  return parts.join('\n\n');
}

function runRow({ workflow, environment, phase, needs, startedAt, workflowId }: RunningRun): string[] {
  const waits = needs === null || needs === 'nothing' ? '' : needs;
  return [
    workflow,
    environment ?? '',
    phase ?? 'starting',
    waits,
    durationInWords(Date.now() - Date.parse(startedAt)),
    workflowId,
  ];
}

function healthRow({
  environment,
  stage,
  verified,
  failure,
  restoreFailure,
  debts,
  outside,
}: Status['environments'][number]): string[] {
  const trouble: string[] = [];
  if (verified === null) trouble.push('no verified backup');
  if (verified?.anomalous === true) trouble.push(`${verified.id} is anomalous: cofre show ${verified.id} tells why`);
  if (failure !== null) trouble.push(`${failure.id} ${failure.state}: ${failure.code}: ${firstLine(failure.message)}`);
  if (restoreFailure !== null)
    trouble.push(`the last restore failed: ${restoreFailure.code}: ${firstLine(restoreFailure.message)}`);
  if (debts > 0) trouble.push(`${debts} ${debts === 1 ? 'copy is' : 'copies are'} missing, damaged or not proven yet`);
  if (outside !== null)
    trouble.push(
      `${outside.backups === 1 ? '1 backup is' : `${outside.backups} backups are`} only in ${outside.destinations.join(', ')}, which the configuration has no more: put it back`,
    );
  const age = verified === null ? '' : `${durationInWords(Date.now() - Date.parse(verified.dataFrom))} ago`;
  return [environment, stage, verified?.id ?? 'none', age, trouble.join('; ')];
}

function firstLine(message: string): string {
  return (message.split('\n')[0] ?? '').slice(0, 100);
}

function routineRow({ routine, nextStart, timezone, paused, running, missed, skipped }: RoutineStatus): string[] {
  const next =
    paused !== null
      ? `paused: ${paused}`
      : nextStart === null
        ? 'has no schedule: cofre apply'
        : timeInWords(new Date(nextStart), timezone);
  const starts = (count: number): string => `${count} ${count === 1 ? 'start was' : 'starts were'}`;
  const notes = [
    running ? 'running now' : '',
    missed === 0 ? '' : `${starts(missed)} missed: Temporal was down for longer than catchUp`,
    skipped === 0 ? '' : `${starts(skipped)} skipped: the run before was still going on`,
  ];
  return [routine, next, notes.filter((note) => note !== '').join('; ')];
}
