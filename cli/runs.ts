import type { Command } from 'commander';
import type { WorkflowExecutionInfo } from '@temporalio/client';

import { CofreError } from '../errors/error.ts';
import { examplesAndExits } from './help.ts';
import { MAIN_RUNS } from './main-runs.ts';
import { durationInWords, printJson, printText, say, table } from './print.ts';
import type { GlobalOptions } from './session.ts';

const MOST = 200;
const RECENT_MS = 24 * 3_600_000;
/** What the main runs bring with them: locks, plans, the timers that remove replaced databases. */
const BESIDE = ['holdEnvironment', 'planRestore', 'dropOldDatabase'];

export function register(program: Command, globals: () => GlobalOptions): void {
  program
    .command('runs')
    .summary('list what runs now and what ran lately')
    .description('Lists the runs that are open and those of the last 24 hours, the newest first.')
    .option('--environment <env>', 'only those of one environment')
    .option('--all', 'older ones too, as long as Temporal keeps them, and locks, plans and timers')
    .addHelpText(
      'after',
      examplesAndExits(['cofre runs', 'cofre runs --environment acme-prod', 'cofre runs --all --json'], [0, 2, 4]),
    )
    .action((filter: { environment?: string; all?: true }) => list(globals(), filter));
}

async function list(options: GlobalOptions, { environment, all }: { environment?: string; all?: true }): Promise<void> {
  const [{ Session }, { searchAttributes }] = await Promise.all([
    import('./session.ts'),
    import('../workflows/search-attributes.ts'),
  ]);
  const session = await Session.open(options);
  try {
    const client = await session.client();
    const runs: Run[] = [];
    for await (const info of client.workflow.list({ query: queryOf(environment, all === true), pageSize: MOST })) {
      if (runs.length === MOST) break;
      const attributes = info.typedSearchAttributes;
      runs.push({
        ...runOf(info),
        environment: attributes.get(searchAttributes.environment) ?? attributes.get(searchAttributes.routine) ?? null,
        phase: attributes.get(searchAttributes.phase) ?? null,
        needs: attributes.get(searchAttributes.needs) ?? null,
      });
    }
    if (options.json) printJson(runs);
    else if (runs.length > 0) printText(table([HEADING, ...runs.map(rowOf)]));
    if (runs.length === 0)
      say(
        options,
        all === true
          ? 'there are no runs'
          : 'nothing runs, and nothing ran in the last 24 hours (--all shows older runs)',
      );
    if (runs.length === MOST) say(options, `only the newest ${MOST} are shown; --environment ENV shows fewer`);
  } finally {
    await session.close();
  }
}

interface Run {
  readonly workflowId: string;
  readonly runId: string;
  readonly workflow: string;
  readonly environment: string | null;
  readonly state: string;
  readonly phase: string | null;
  readonly needs: string | null;
  readonly startedAt: string;
  readonly finishedAt: string | null;
}

function runOf(info: WorkflowExecutionInfo): Omit<Run, 'environment' | 'phase' | 'needs'> {
  return {
    workflowId: info.workflowId,
    runId: info.runId,
    workflow: info.type,
    state: info.status.name.toLowerCase(),
    startedAt: info.startTime.toISOString(),
    finishedAt: info.closeTime?.toISOString() ?? null,
  };
}

function queryOf(environment: string | undefined, all: boolean): string {
  const types = all ? [...MAIN_RUNS, ...BESIDE] : MAIN_RUNS;
  const parts = [`WorkflowType IN (${types.map((type) => `'${type}'`).join(', ')})`];
  if (!all)
    parts.push(`(ExecutionStatus = 'Running' OR CloseTime > '${new Date(Date.now() - RECENT_MS).toISOString()}')`);
  if (environment !== undefined) {
    if (!/^[a-z0-9-]{1,63}$/.test(environment))
      throw new CofreError('bad-input', `"${environment.slice(0, 80)}" is no name of an environment`);
    parts.push(`CofreEnvironment = '${environment}'`);
  }
  return parts.join(' AND ');
}

const HEADING = ['ENVIRONMENT', 'RUN', 'STATE', 'NEEDS', 'STARTED', 'TOOK', 'ID'];

function rowOf({ environment, workflow, state, phase, needs, startedAt, finishedAt, workflowId }: Run): string[] {
  const took = (finishedAt === null ? Date.now() : Date.parse(finishedAt)) - Date.parse(startedAt);
  const where = state === 'running' ? (phase ?? state) : state;
  return [
    environment ?? '',
    workflow,
    where,
    needs === 'nothing' ? '' : (needs ?? ''),
    startedAt.slice(0, 19) + 'Z',
    durationInWords(took),
    workflowId,
  ];
}
