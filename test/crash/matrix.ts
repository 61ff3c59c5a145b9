import assert from 'node:assert/strict';
import { until } from '../until.ts';
import { assertHostClean, assertNothingLeft, assertSpoolEmpty, toolsOf, visibleBackups } from './aftermath.ts';
import type { Position, StepRecord } from './protocol.ts';
import { endOf, type Scenario } from './scenarios.ts';
import type { CrashSite } from './site.ts';
import { Watcher } from './watcher.ts';

/** A run of a scenario that something happens to at each of these points, one after the other. */
export interface CrashCase {
  readonly scenario: Scenario;
  readonly positions: readonly Position[];
  /** How often it came to its end before it came to all of its points. */
  readonly missed?: number;
}

interface RunningCase extends CrashCase {
  readonly environment: string;
  /** How it ends. */
  readonly end: Promise<string>;
  readonly backupsBefore: number;
  /** Where something has happened to it already, in words. */
  readonly met: string[];
  ended: boolean;
}

/** A run that did not come out right. */
interface Failure {
  readonly environment: string;
  /** What run it was, and what happened to it. */
  readonly what: string;
  readonly error: unknown;
}

/** The runs that stand still. */
export interface StandingRuns {
  readonly environments: readonly string[];
  /** They stand still no more; what they are to be held at next counts from now on. */
  goOn(): void;
  /** Settles when all of them have ended. */
  ended(): Promise<unknown>;
}

/** What happens when the runs stand still. */
export type Disturbance = (site: CrashSite, runs: StandingRuns) => Promise<void>;

/** What all runs of a round do together before a condition holds takes a busy machine minutes. */
export const WAIT_MS = 300_000;
/** What a step does by the clock, or while a tool that is quick lives, may not be met in one run: then another one is made, and so many at most. */
const RUNS_FOR_A_CASE = 3;
/** A step that does nothing for so long waits for one that stands still, and is taken where it is. */
const BLOCKED_MS = 6_000;

/**
 * Brings the runs of `cases` to their points, lets `disturb` happen to all of them at once, again and again, and proves
 * what comes of each. Gives the cases that are still to be done: each environment takes one at a time, and a run may end before it comes
 * to its points. A step that waits for a lock with which another one stands still is reached later. `spools`: a host that was away keeps
 * files until somebody tidies it.
 */
async function crashTogether(
  site: CrashSite,
  cases: readonly CrashCase[],
  disturb: Disturbance,
  spools: 'empty' | 'left',
  failures: Failure[],
): Promise<{ later: CrashCase[]; rounds: number }> {
  // What a failure has left there would make others fail.
  const isClean = (name: string): boolean => !failures.some(({ environment }) => environment === name);
  const free = new Map(Object.entries(site.environments).map(([purpose, all]) => [purpose, all.filter(isClean)]));
  const later: CrashCase[] = [];
  const watcher = new Watcher(site);
  const starting: Promise<RunningCase>[] = [];
  for (const one of cases) {
    const environment = free.get(one.scenario.purpose)?.shift();
    if (environment === undefined) later.push(one);
    else starting.push(startCase(site, environment, one, watcher));
  }
  if (starting.length === 0) throw new Error(`no environment is there for ${later.map(nameOf).join('; ')}`);
  const running = await Promise.all(starting);
  watcher.start();
  let rounds = 0;
  for (let inVain = 0; running.some(isUnderWay); rounds += 1) {
    const standing = running.filter(isUnderWay);
    await untilHeld(site, standing);
    const held = standing.filter(({ environment }) => site.workers.held.has(environment));
    for (const { environment, met } of held) met.push(site.workers.held.get(environment)?.at ?? '');
    inVain = held.length === 0 ? inVain + 1 : 0;
    if (inVain === 3) throw neverReached(site, standing);
    await disturb(site, {
      environments: standing.map(({ environment }) => environment),
      goOn: () => standing.forEach((one) => goOn(site, one)),
      ended: () => Promise.allSettled(standing.map(({ end }) => end)),
    });
  }
  for (const one of running) {
    try {
      await assertOutcome(site, one);
      const { scenario, positions, met, missed = 0 } = one;
      if (met.length === positions.length) continue;
      assert.ok(missed + 1 < RUNS_FOR_A_CASE, 'it ended before all of it had happened to it');
      later.push({ scenario, positions, missed: missed + 1 });
    } catch (error) {
      failures.push({ environment: one.environment, what: `${nameOf(one)} (${one.met.join(', then ')})`, error });
    }
  }
  await watcher.stop();
  await assertHostClean(site);
  const environments = running.map(({ environment }) => environment);
  if (spools === 'empty') await assertSpoolEmpty(site.installation.spool, environments);
  return { later, rounds };
}

/** Whether something is still to happen to it. */
function isUnderWay({ positions, met, ended }: RunningCase): boolean {
  return met.length < positions.length && !ended;
}

function goOn(site: CrashSite, { environment, positions, met }: RunningCase): void {
  site.workers.release(environment, positions[met.length]);
}

async function startCase(site: CrashSite, environment: string, one: CrashCase, watcher: Watcher): Promise<RunningCase> {
  const { scenario, positions } = one;
  const [first] = positions;
  if (first === undefined) throw new Error(`nothing is to happen to ${scenario.name}`);
  const input = await scenario.prepare(site, environment);
  watcher.expect(environment, scenario.database);
  const backupsBefore = (await visibleBackups(site, environment)).length;
  const { cancelledAt = first } = scenario;
  await site.workers.hold(environment, cancelledAt === 'once' ? first : cancelledAt);
  const handle = await site.startRun(scenario.workflow, environment, input);
  if (cancelledAt === 'once') await handle.cancel();
  else if (cancelledAt !== first) {
    await until(`${environment} is where it is cancelled`, () => site.workers.held.has(environment), WAIT_MS);
    await site.workers.hold(environment, first);
    await handle.cancel();
  }
  const end = endOf(site, environment, handle);
  const running: RunningCase = { ...one, environment, end, backupsBefore, met: [], ended: false };
  const onEnd = (): void => void (running.ended = true);
  end.then(onEnd, onEnd);
  return running;
}

async function untilHeld(site: CrashSite, runs: readonly RunningCase[]): Promise<void> {
  const startedAt = performance.now();
  const onTheirWay = (): RunningCase[] =>
    runs.filter(({ environment, ended }) => !ended && !site.workers.held.has(environment));
  const areBlocked = (): boolean => {
    if (site.workers.failed !== undefined) throw new Error(site.workers.failed);
    const since = performance.now() - BLOCKED_MS;
    return onTheirWay().every(({ environment }) => since > startedAt && site.workers.blockedSince(environment, since));
  };
  try {
    await until('all runs stand still', areBlocked, WAIT_MS);
  } catch (cause) {
    throw neverReached(site, onTheirWay(), cause);
  }
}

function neverReached(site: CrashSite, runs: readonly RunningCase[], cause?: unknown): Error {
  const names = runs.map(
    (one) => `${nameOf(one)} (${one.met.join(', then ')}; ${site.workers.lastOf(one.environment)})`,
  );
  return new Error(`never reached:\n${names.join('\n')}`, { cause });
}

async function assertOutcome(
  site: CrashSite,
  { scenario, environment, end, backupsBefore }: RunningCase,
): Promise<void> {
  assert.equal(await end, scenario.ends);
  assert.equal((await visibleBackups(site, environment)).length, backupsBefore + scenario.makes, 'backups');
  assert.equal(await site.look(environment), scenario.database.at(-1), 'the live database');
  await assertNothingLeft(site, environment);
}

/** SIGKILL, and another worker, which ends what the kernel did not end with the first: the tools of tools. */
export const killWorker: Disturbance = async (site, { goOn }) => {
  await site.installation.endWorker(site.worker, 'SIGKILL');
  await until('all that it has said is heard', () => !site.workers.isThere('h1'));
  const orphans = toolsOf(site);
  goOn();
  await site.startWorker();
  const left = toolsOf(site).filter(({ pid }) => orphans.some((orphan) => orphan.pid === pid));
  assert.deepEqual(left, [], 'tools of the worker that was killed');
};

/** SIGSTOP until every step is given to another attempt, and SIGCONT: then both are at work. */
export const freezeWorker: Disturbance = async (site, { environments, goOn }) => {
  site.worker.kill('SIGSTOP');
  await until(
    'every step is tried again',
    async () => {
      for (const environment of environments) if (!(await isTriedAgain(site, environment))) return false;
      return true;
    },
    WAIT_MS,
  );
  goOn();
  site.worker.kill('SIGCONT');
};

/** Of a pending activity: a worker took it. */
const STARTED = 2;

async function isTriedAgain(site: CrashSite, environment: string): Promise<boolean> {
  const query = `CofreEnvironment = '${environment}' AND ExecutionStatus = 'Running'`;
  for await (const { workflowId } of site.client.workflow.list({ query })) {
    const { raw } = await site.client.workflow.getHandle(workflowId).describe();
    const pending = raw.pendingActivities ?? [];
    if (pending.some(({ attempt, state }) => attempt === 1 && state === STARTED)) return false;
  }
  return true;
}

/** Ends a server at once and starts it again; then the steps go on, with connections that are gone. */
export function restartServer(restart: () => Promise<void>): Disturbance {
  return async (_site, { goOn }) => {
    await restart();
    goOn();
  };
}

/**
 * Lets `disturb` happen at every point of `cases`, as many at once as there are environments for.
 * @throws AggregateError of the cases that did not come out right. @throws Error at once when a point is never reached.
 */
export async function crashAll(
  site: CrashSite,
  cases: readonly CrashCase[],
  disturb: Disturbance,
  spools: 'empty' | 'left' = 'empty',
): Promise<{ rounds: number }> {
  let rounds = 0;
  const failures: Failure[] = [];
  for (let left = cases; left.length > 0;) {
    const done = await crashTogether(site, left, disturb, spools, failures);
    left = done.later;
    rounds += done.rounds;
  }
  if (failures.length > 0) {
    const all = failures.map(({ what, error }) => `${what}: ${error instanceof Error ? error.message : String(error)}`);
    throw new AggregateError(
      failures.map(({ error }) => error),
      `${failures.length} of ${cases.length} runs did not come out right:\n${all.join('\n')}`,
    );
  }
  return { rounds };
}

function nameOf({ scenario, positions }: CrashCase): string {
  const where = positions.map(
    ({ activity, call, point }) => `${activity} ${call} ${typeof point === 'object' ? `tool ${point.tool}` : point}`,
  );
  return `${scenario.name}: ${where.join(', ')}`;
}

/** For a run that is to stand still nowhere. */
const NOWHERE: Position = { activity: 'none', call: 1, point: 'start' };

/** Runs every scenario once, undisturbed and each in an environment of its own, and gives what its steps did. */
export async function record(site: CrashSite, all: readonly Scenario[]): Promise<Map<Scenario, StepRecord[]>> {
  const free = new Map(Object.entries(site.environments).map(([purpose, names]) => [purpose, [...names]]));
  const recorded = all.map(async (scenario) => {
    const environment = free.get(scenario.purpose)?.shift();
    if (environment === undefined) throw new Error(`no environment is left for ${scenario.name}`);
    return [scenario, await recordOne(site, scenario, environment)] as const;
  });
  return new Map(await Promise.all(recorded));
}

async function recordOne(site: CrashSite, scenario: Scenario, environment: string): Promise<StepRecord[]> {
  const input = await scenario.prepare(site, environment);
  const { cancelledAt = NOWHERE } = scenario;
  await site.workers.hold(environment, cancelledAt === 'once' ? NOWHERE : cancelledAt);
  site.workers.steps.delete(environment);
  const handle = await site.startRun(scenario.workflow, environment, input);
  if (cancelledAt === 'once') await handle.cancel();
  else if (cancelledAt !== NOWHERE) {
    await until(`${environment} is where it is cancelled`, () => site.workers.held.has(environment), WAIT_MS);
    await handle.cancel();
  }
  assert.equal(await endOf(site, environment, handle), scenario.ends, scenario.name);
  site.workers.forget(environment);
  await assertNothingLeft(site, environment);
  return site.workers.steps.get(environment) ?? [];
}
