import { ParentClosePolicy, condition, executeChild, upsertSearchAttributes, workflowInfo } from '@temporalio/workflow';

import type { RoutinePlan } from '../activities/plans.ts';
import { backupDatabase, type BackupResult } from './backup-database.ts';
import { failRun, reasonOf, type Reason } from './failure.ts';
import type { RoutineInput } from './inputs.ts';
import { beforeAll, openRun } from './opening.ts';
import { asWritten, runLink } from './page.ts';
import { showPhase } from './phase.ts';
import { searchAttributes } from './search-attributes.ts';
import { control } from './steps.ts';
import { bytesInWords, timeInWords } from './words.ts';

interface EnvironmentOutcome {
  readonly environment: string;
  state: 'waiting' | 'running' | 'complete' | 'incomplete' | 'failed' | 'not-started';
  /** Its run, once it was started. */
  workflowId?: string;
  sizeBytes?: number;
  /** Its backup is complete and marked as anomalous: why, in words. */
  anomaly?: string;
  reason?: Reason;
}

export interface RoutineResult {
  readonly routine: string;
  readonly environments: readonly EnvironmentOutcome[];
}

/** One night: a child for each environment, under limits in total and for each database server. */
export async function runRoutine(input: RoutineInput): Promise<RoutineResult> {
  openRun('runRoutine', input, { routine: 'name' }, '{"routine": "nightly"}');
  upsertSearchAttributes([{ key: searchAttributes.routine, value: input.routine }]);
  const startedAt = new Date(Date.now()).toISOString();
  const plan = await beforeAll(`Routine ${input.routine}`, () =>
    control.resolveRoutine({ routine: input.routine, startedAt }),
  );
  const night = new Night(input.routine, plan);
  await night.run();
  return night.end();
}

const STATES = {
  running: '**Now:** backs up its environments, under the limits of the routine and of each server.',
  done: '**Done.**',
  cancelled: '**Cancelled.** Finished backups stay, those under way were cancelled, and no more are started.',
} as const;
/** The order on the page: what needs somebody first. */
const ORDER = ['failed', 'incomplete', 'not-started', 'running', 'complete', 'waiting'];
const LISTED = 50;

class Night {
  readonly #routine: string;
  readonly #plan: RoutinePlan;
  readonly #outcomes: EnvironmentOutcome[];
  readonly #running = new Map<string, number>();
  #total = 0;

  constructor(routine: string, plan: RoutinePlan) {
    this.#routine = routine;
    this.#plan = plan;
    this.#outcomes = plan.environments.map(({ environment }) => ({ environment, state: 'waiting' }));
  }

  async run(): Promise<void> {
    this.#show();
    const ended = await Promise.allSettled(
      this.#plan.environments.map(({ server }, index) => this.#oneEnvironment(index, server)),
    );
    // Only a cancelled night throws; every other failure is an outcome.
    for (const end of ended) {
      if (end.status !== 'rejected') continue;
      this.#show('cancelled');
      throw end.reason;
    }
  }

  async #oneEnvironment(index: number, server: string): Promise<void> {
    const outcome = this.#outcomes[index];
    if (outcome === undefined) return;
    if (!(await this.#takeTurn(server))) {
      outcome.state = 'not-started';
      outcome.reason = { code: 'busy', message: 'its turn did not come before the end of the routine' };
      this.#show();
      return;
    }
    outcome.state = 'running';
    outcome.workflowId = this.#runIdOf(outcome.environment);
    this.#show();
    try {
      const result = await this.#backUp(outcome.environment, outcome.workflowId);
      outcome.state = result.state;
      outcome.sizeBytes = result.sizeBytes;
      if (result.anomaly !== null) outcome.anomaly = result.anomaly;
    } catch (error) {
      outcome.state = 'failed';
      outcome.reason = reasonOf(error);
      if (outcome.reason.code === 'cancelled') throw error;
    } finally {
      this.#count(server, -1);
      this.#show();
    }
  }

  /** Waits until the limits allow one more, and counts it; false when the end of the routine comes first. */
  async #takeTurn(server: string): Promise<boolean> {
    const free = (): boolean =>
      this.#total < this.#plan.atOnce && (this.#running.get(server) ?? 0) < (this.#plan.atOnceByServer[server] ?? 1);
    // In a loop: one free place wakes all who wait, and only the first of them may have it.
    while (!free()) {
      if (this.#plan.until === null) {
        await condition(free);
        continue;
      }
      const leftMs = Date.parse(this.#plan.until) - Date.now();
      if (leftMs <= 0 || !(await condition(free, leftMs))) return false;
    }
    this.#count(server, 1);
    return true;
  }

  #runIdOf(environment: string): string {
    const slot = new Date(Date.now()).toISOString().replace(/[-:]/g, '').replace(/\.\d+/, '');
    return `backupDatabase/${environment}/${slot}-${workflowInfo().runId.slice(0, 8)}`;
  }

  async #backUp(environment: string, workflowId: string): Promise<BackupResult> {
    return await executeChild(backupDatabase, {
      workflowId,
      args: [{ environment, routine: this.#routine }],
      parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
      staticSummary: `${this.#routine}: ${environment}`,
    });
  }

  #count(server: string, step: 1 | -1): void {
    this.#total += step;
    this.#running.set(server, (this.#running.get(server) ?? 0) + step);
  }

  /** @throws ApplicationFailure `part-failed` when any environment has no complete backup: a night must not look green then. */
  end(): RoutineResult {
    const result = { routine: this.#routine, environments: this.#outcomes };
    const bad = this.#outcomes.filter(({ state }) => state !== 'complete');
    this.#show('done');
    if (bad.length === 0) return result;
    const named = bad.slice(0, 10).map(({ environment, state, reason }) => `${environment} (${reason?.code ?? state})`);
    throw failRun(
      {
        code: 'part-failed',
        message: `${bad.length} of ${this.#outcomes.length} environments have no complete backup: ${named.join(', ')}${bad.length > 10 ? ', …' : ''}`,
        hint: 'the page of this run has every reason; mend them, then cofre backup ENV',
      },
      { routine: this.#routine },
    );
  }

  #show(how: 'running' | 'done' | 'cancelled' = 'running'): void {
    const count = (...states: EnvironmentOutcome['state'][]): number =>
      this.#outcomes.filter(({ state }) => states.includes(state)).length;
    const anomalous = this.#outcomes.filter(({ anomaly }) => anomaly !== undefined).length;
    const failed = count('failed', 'not-started', 'incomplete');
    const inTrouble = failed + anomalous;
    const total = this.#outcomes.length;
    const sizeBytes = this.#outcomes.reduce((sum, outcome) => sum + (outcome.sizeBytes ?? 0), 0);
    const counts = `${count('complete')} of ${total} complete, ${count('running')} running, ${count('waiting')} waiting, ${inTrouble} in trouble; ${bytesInWords(sizeBytes)} so far.`;
    const { until } = this.#plan;
    const goesOn = `none for you.${until === null ? '' : ` Nothing more is started after ${timeInWords(until)}.`}`;
    const mend = 'mend the environments in trouble, then `cofre backup` each of them.';
    const page = {
      title: `**Routine ${this.#routine}:** ${counts}`,
      state: STATES[how],
      next: how === 'cancelled' ? 'none.' : inTrouble > 0 ? mend : how === 'done' ? 'none.' : goesOn,
      facts: this.#facts(),
    };
    const phase = how === 'cancelled' || (how === 'done' && failed > 0) ? 'failed' : how;
    showPhase(phase, page, how === 'done' && inTrouble > 0 ? 'operator' : 'nothing');
  }

  /** Who is in trouble, who runs, and then the others as far as a page holds them. */
  #facts(): [string, string][] {
    const rank = ({ state, anomaly }: EnvironmentOutcome): number =>
      ORDER.indexOf(anomaly === undefined ? state : 'incomplete');
    const sorted = [...this.#outcomes].sort((one, other) => rank(one) - rank(other));
    const facts = sorted.slice(0, LISTED).map((outcome): [string, string] => {
      const { environment, state, workflowId, sizeBytes, anomaly, reason } = outcome;
      const words = [
        state === 'not-started' ? 'not started' : state,
        sizeBytes === undefined ? '' : bytesInWords(sizeBytes),
        anomaly === undefined ? '' : `anomalous: ${asWritten(anomaly)}`,
        reason === undefined ? '' : `${reason.code}: ${asWritten(reason.message.slice(0, 300))}`,
      ];
      const name = workflowId === undefined ? environment : runLink(workflowId, environment);
      return [name, words.filter((word) => word !== '').join(', ')];
    });
    if (sorted.length > LISTED) facts.push(['…', `and ${sorted.length - LISTED} more`]);
    return facts;
  }
}
