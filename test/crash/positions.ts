import { isLong } from '../long.ts';
import type { CrashCase } from './matrix.ts';
import type { Point, StepRecord } from './protocol.ts';
import type { Scenario } from './scenarios.ts';

/** A tool that moves so much runs long enough to be met in its middle. */
const MEETABLE_BYTES = 100_000;

export type Records = ReadonlyMap<Scenario, readonly StepRecord[]>;
type Where = 'start' | 'middle' | 'tool' | 'end';
const WHERE: readonly Where[] = ['start', 'middle', 'tool', 'end'];

/** The start, the middle and the end of every step, and the middle of its greatest tool, each in a run of its own. */
export function everyCase(records: Records): CrashCase[] {
  return stepsOf(records).flatMap(({ scenario, step }) =>
    WHERE.flatMap((where) => caseAt(scenario, step, pointOf(step, where))),
  );
}

/** Several places in one run of a scenario, in the order in which it comes to them. */
export function chain(
  records: Records,
  scenario: string,
  ...places: readonly (readonly [string, string])[]
): CrashCase {
  const cases = places.map(([activity, at]) => oneCase(records, scenario, activity, at));
  const [first] = cases;
  if (first === undefined) throw new Error('a chain has places');
  return { ...first, positions: cases.flatMap(({ positions }) => positions) };
}

/** Before so many of all the inputs and outputs of all the steps; the same for the same seed. */
export function randomCases(records: Records, count: number, seed: number): CrashCase[] {
  const all = stepsOf(records).flatMap(({ scenario, step }) =>
    step.operations.flatMap((_, index) => caseAt(scenario, step, index + 1)),
  );
  const random = randomFrom(seed);
  return Array.from({ length: count }, () => all[Math.floor(random() * all.length)]).filter((one) => one !== undefined);
}

/**
 * One place in the run of a scenario: `start`, `middle`, `tool`, `end`, or before the first operation that begins so.
 */
export function oneCase(records: Records, scenario: string, activity: string, at: string): CrashCase {
  for (const { scenario: found, step } of stepsOf(records)) {
    if (found.name !== scenario || step.activity !== activity) continue;
    const where = WHERE.find((name) => name === at);
    const operation = step.operations.findIndex((name) => name.startsWith(at));
    // On a fast machine a tool may have ended before it was seen to move: then the middle of its step stands for it.
    const point = where === undefined ? operation + 1 || undefined : (pointOf(step, where) ?? pointOf(step, 'middle'));
    const [one] = caseAt(found, step, point);
    if (one !== undefined) return one;
  }
  throw new Error(`there is no ${at} in ${activity} of ${scenario}`);
}

function caseAt(scenario: Scenario, { activity, call }: StepRecord, point: Point | undefined): CrashCase[] {
  return point === undefined ? [] : [{ scenario, positions: [{ activity, call, point }] }];
}

function pointOf({ operations, tools }: StepRecord, where: Where): Point | undefined {
  if (where === 'start' || where === 'end') return where;
  if (where === 'middle') return operations.length === 0 ? undefined : Math.ceil(operations.length / 2);
  const [greatest] = tools.toSorted((one, other) => other.movedBytes - one.movedBytes);
  if (greatest === undefined || greatest.movedBytes < MEETABLE_BYTES) return undefined;
  return { tool: greatest.name, afterBytes: greatest.movedBytes / 2 };
}

/** The steps of each scenario, in the bounded form only those that are unlike the steps of others. */
function stepsOf(records: Records): { scenario: Scenario; step: StepRecord }[] {
  return [...records].flatMap(([scenario, steps]) =>
    steps
      .filter(({ activity, attempt }) => attempt === 1 && (all(scenario) || scenario.differsIn?.includes(activity)))
      // It is asked again and again, until it is its turn.
      .filter(({ activity, call }) => activity !== 'endAbandonedLock' || call === 1)
      // How often a host is asked whether it is there depends on how long a run takes; at the removal it is always asked.
      .filter(({ activity, call }) => activity !== 'checkHost' || (call === 1 && scenario.database.includes('changed')))
      .map((step) => ({ scenario, step })),
  );
}

function all({ differsIn, onlyThese }: Scenario): boolean {
  return differsIn === undefined || (isLong && onlyThese !== true);
}

/** Mulberry32: small, and good enough to choose positions. */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
