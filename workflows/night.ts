import {
  CancellationScope,
  ParentClosePolicy,
  condition,
  executeChild,
  sleep,
  workflowInfo,
} from '@temporalio/workflow';
import { CancelledFailure } from '@temporalio/common';

import type { RoutinePlan } from '../activities/plans.ts';
import { backupDatabase, type BackupResult } from './backup-database.ts';
import { copyBackups, type CopiesResult } from './copy-backups.ts';
import { failRun, reasonOf, type Reason } from './failure.ts';
import { missingAliases } from './backup-text.ts';
import { asWritten, runLink } from './page.ts';
import { showPhase } from './phase.ts';
import type { SyncResult } from './sync-catalog.ts';
import { verifyCopies, type VerifyResult } from './verify-copies.ts';
import { bytesInWords, timeInWords } from './words.ts';

interface EnvironmentOutcome {
  readonly environment: string;
  state: 'waiting' | 'running' | 'complete' | 'incomplete' | 'failed' | 'not-started';
  /** Its run, once it was started. */
  workflowId?: string;
  sizeBytes?: number;
  /** Its backup is complete and marked as anomalous: why, in words. */
  anomaly?: string;
  /** Its backup is complete, and its alias for old consumers could not be published: why. */
  alias?: string;
  reason?: Reason;
}

export interface RoutineResult {
  readonly routine: string;
  readonly environments: readonly EnvironmentOutcome[];
  /** Of a routine that compares the catalog with its destinations. */
  readonly sync?: SyncResult;
}

/** The plan of a routine that works on one environment after the other. */
export type NightPlan = Omit<RoutinePlan, 'work'> & {
  readonly work: Exclude<RoutinePlan['work'], { run: 'syncCatalog' }>;
};

const STATES = {
  done: '**Done.**',
  cancelled: '**Cancelled.** What is finished stays, runs under way were cancelled, and no more are started.',
} as const;
/** By what the routine does. */
const WORDS = {
  backupDatabase: {
    now: '**Now:** backs up its environments, under the limits of the routine and of each server.',
    lack: 'have no complete backup',
    mend: 'mend the environments in trouble, then `cofre backup` each of them.',
    hint: 'the page of this run has every reason; mend them, then cofre backup ENV',
  },
  copyBackups: {
    now: '**Now:** makes the copies that its destinations lack, for one environment after the other.',
    lack: 'still lack copies',
    mend: 'mend what is in trouble; the next run of the routine makes the copies, or `cofre run` it now.',
    hint: 'the page of this run has every reason; mend them, then cofre run the routine again',
  },
  verifyCopies: {
    now: '**Now:** reads copies again whose proof is oldest, for one environment after the other.',
    lack: 'have copies that are damaged or could not be read',
    mend: 'look at the runs in trouble: a damaged copy means a medium that damages data.',
    hint: 'the page of this run has every reason; cofre status lists what is damaged',
  },
} as const;
/** The order on the page: what needs somebody first. */
const ORDER = ['failed', 'incomplete', 'not-started', 'running', 'complete', 'waiting'];
const LISTED = 50;
/** A night of hundreds of failures is one result in the history. */
const REASON_CHARACTERS = 300;

/** The backups (or the further copies) of one night, under limits in total and for each database server. */
export class Night {
  readonly #routine: string;
  readonly #plan: NightPlan;
  readonly #outcomes: EnvironmentOutcome[];
  readonly #servers: ReadonlyMap<string, string>;
  readonly #notes: [string, string][] = [];
  readonly #running = new Map<string, number>();
  #total = 0;
  #lacksCatalog = false;
  #over = false;

  constructor(routine: string, plan: NightPlan) {
    this.#routine = routine;
    this.#plan = plan;
    this.#outcomes = plan.environments.map(({ environment }) => ({ environment, state: 'waiting' }));
    this.#servers = new Map(plan.environments.map(({ environment, server }) => [environment, server]));
  }

  /** Tells something of the night as a whole, on its page. */
  note(name: string, value: string): void {
    this.#notes.push([name, asWritten(value)]);
  }

  /** No destination has a backup of the catalog: who only looks whether the night is red must see it. */
  lacksCatalog(): void {
    this.#lacksCatalog = true;
  }

  /** @throws CancelledFailure when the night itself was cancelled; every other failure is an outcome. */
  async run(): Promise<void> {
    this.#show();
    const clock = new CancellationScope();
    clock.run(() => this.#watchTheEnd()).catch(() => undefined);
    const started: Promise<void>[] = [];
    // One after the other gets the next free place: all of them waiting by themselves would fill the history with timers.
    const waiting = [...this.#outcomes];
    const scope = CancellationScope.current();
    const cancelled = (): boolean => scope.consideredCancelled;
    try {
      while (waiting.length > 0) {
        await condition(() => this.#over || this.#nextOf(waiting) !== undefined);
        const next = this.#over ? undefined : this.#nextOf(waiting);
        if (next === undefined) break;
        waiting.splice(waiting.indexOf(next), 1);
        started.push(this.#oneEnvironment(next));
      }
    } catch (error) {
      if (!cancelled()) throw error;
    }
    for (const outcome of cancelled() ? [] : waiting) {
      outcome.state = 'not-started';
      outcome.reason = { code: 'busy', message: 'its turn did not come before the end of the routine' };
    }
    await CancellationScope.nonCancellable(() => Promise.all(started));
    clock.cancel();
    if (!cancelled()) return;
    this.#show('cancelled');
    throw new CancelledFailure('the routine was cancelled');
  }

  async #watchTheEnd(): Promise<void> {
    if (this.#plan.until === null) return;
    await sleep(Math.max(Date.parse(this.#plan.until) - Date.now(), 1), { summary: 'the end of the routine' });
    this.#over = true;
  }

  /** The first that the limits allow now. */
  #nextOf(waiting: readonly EnvironmentOutcome[]): EnvironmentOutcome | undefined {
    const { atOnce, atOnceByServer } = this.#plan;
    if (this.#total >= atOnce) return undefined;
    return waiting.find(({ environment }) => {
      const server = this.#serverOf(environment);
      return (this.#running.get(server) ?? 0) < (atOnceByServer[server] ?? 1);
    });
  }

  /** Never throws: what happens is in the outcome. */
  async #oneEnvironment(outcome: EnvironmentOutcome): Promise<void> {
    const server = this.#serverOf(outcome.environment);
    this.#count(server, 1);
    outcome.state = 'running';
    outcome.workflowId = this.#runIdOf(outcome.environment);
    this.#show();
    try {
      const result = await this.#work(outcome.environment, outcome.workflowId);
      outcome.state = result.state;
      outcome.sizeBytes = result.sizeBytes;
      if ('anomaly' in result && result.anomaly !== null) outcome.anomaly = result.anomaly;
      const [alias] = 'aliases' in result ? missingAliases({ aliases: result.aliases ?? [] }) : [];
      if (alias !== undefined) outcome.alias = (alias.reason?.message ?? '').slice(0, REASON_CHARACTERS);
    } catch (error) {
      const { code, message } = reasonOf(error);
      outcome.state = 'failed';
      outcome.reason = { code, message: message.slice(0, REASON_CHARACTERS) };
    } finally {
      this.#count(server, -1);
      this.#show();
    }
  }

  #serverOf(environment: string): string {
    return this.#servers.get(environment) ?? '';
  }

  #runIdOf(environment: string): string {
    const slot = new Date(Date.now()).toISOString().replace(/[-:]/g, '').replace(/\.\d+/, '');
    return `${this.#plan.work.run}/${environment}/${slot}-${workflowInfo().runId.slice(0, 8)}`;
  }

  async #work(environment: string, workflowId: string): Promise<BackupResult | CopiesResult | VerifyResult> {
    const { work, until } = this.#plan;
    const run = {
      workflowId,
      parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
      staticSummary: `${this.#routine}: ${environment}`,
    };
    if (work.run === 'backupDatabase')
      return await executeChild(backupDatabase, { ...run, args: [{ environment, routine: this.#routine }] });
    const all = { environment, routine: this.#routine, ...(until === null ? {} : { endsAt: until }) };
    if (work.run === 'verifyCopies') return await executeChild(verifyCopies, { ...run, args: [all] });
    const from = work.from === undefined ? {} : { from: work.from };
    return await executeChild(copyBackups, { ...run, args: [{ ...all, ...from, to: work.to }] });
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
    if (bad.length === 0 && !this.#lacksCatalog) return result;
    const named = bad.slice(0, 10).map(({ environment, state, reason }) => `${environment} (${reason?.code ?? state})`);
    throw failRun(
      {
        code: 'part-failed',
        message: [
          ...(bad.length === 0
            ? []
            : [
                `${bad.length} of ${this.#outcomes.length} environments ${WORDS[this.#plan.work.run].lack}: ${named.join(', ')}${bad.length > 10 ? ', …' : ''}`,
              ]),
          ...(this.#lacksCatalog ? ['the catalog could not be backed up to any destination'] : []),
        ].join('; '),
        hint: WORDS[this.#plan.work.run].hint,
      },
      { routine: this.#routine },
    );
  }

  #show(how: 'running' | 'done' | 'cancelled' = 'running'): void {
    const count = (...states: EnvironmentOutcome['state'][]): number =>
      this.#outcomes.filter(({ state }) => states.includes(state)).length;
    const inDoubt = this.#outcomes.filter((outcome) => outcome.state === 'complete' && isInDoubt(outcome)).length;
    const failed = count('failed', 'not-started', 'incomplete');
    const inTrouble = failed + inDoubt;
    const toMend = inTrouble > 0 || this.#lacksCatalog;
    const total = this.#outcomes.length;
    const sizeBytes = this.#outcomes.reduce((sum, outcome) => sum + (outcome.sizeBytes ?? 0), 0);
    const counts = `${count('complete')} of ${total} complete, ${count('running')} running, ${count('waiting')} waiting, ${inTrouble} in trouble; ${bytesInWords(sizeBytes)} so far.`;
    const { until, since } = this.#plan;
    const only = since === null ? '' : ` (only what has no backup since ${timeInWords(since)})`;
    const goesOn = `none for you.${until === null ? '' : ` Nothing more is started after ${timeInWords(until)}.`}`;
    const { now, mend } = WORDS[this.#plan.work.run];
    const page = {
      title: `**Routine ${this.#routine}${only}:** ${counts}`,
      state: how === 'running' ? now : STATES[how],
      next: how === 'cancelled' ? 'none.' : toMend ? mend : how === 'done' ? 'none.' : goesOn,
      facts: [...this.#notes, ...this.#facts()],
    };
    const phase = how === 'cancelled' || (how === 'done' && (failed > 0 || this.#lacksCatalog)) ? 'failed' : how;
    showPhase(phase, page, how === 'done' && toMend ? 'operator' : 'nothing');
  }

  /** Who is in trouble, who runs, and then the others as far as a page holds them. */
  #facts(): [string, string][] {
    const rank = (outcome: EnvironmentOutcome): number =>
      ORDER.indexOf(isInDoubt(outcome) ? 'incomplete' : outcome.state);
    const sorted = [...this.#outcomes].sort((one, other) => rank(one) - rank(other));
    const facts = sorted.slice(0, LISTED).map((outcome): [string, string] => {
      const { environment, state, workflowId, sizeBytes, anomaly, alias, reason } = outcome;
      const words = [
        state === 'not-started' ? 'not started' : state,
        sizeBytes === undefined ? '' : bytesInWords(sizeBytes),
        anomaly === undefined ? '' : `anomalous: ${asWritten(anomaly)}`,
        alias === undefined ? '' : `its alias could not be published: ${asWritten(alias)}`,
        reason === undefined ? '' : `${reason.code}: ${asWritten(reason.message)}`,
      ];
      const name = workflowId === undefined ? environment : runLink(workflowId, environment);
      return [name, words.filter((word) => word !== '').join(', ')];
    });
    if (sorted.length > LISTED) facts.push(['…', `and ${sorted.length - LISTED} more`]);
    return facts;
  }
}

/** Whether somebody must look at it although its backup is complete. */
function isInDoubt({ anomaly, alias }: EnvironmentOutcome): boolean {
  return anomaly !== undefined || alias !== undefined;
}
