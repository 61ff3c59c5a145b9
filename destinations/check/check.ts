import { randomBytes } from 'node:crypto';
import { setMaxListeners } from 'node:events';

import type { DestinationConfig } from '../../config/destination-schema.ts';
import { CofreError, messageOf } from '../../errors/error.ts';
import type { Destination } from '../destination.ts';
import { openDestination, withoutConnections } from '../open.ts';
import { unlessMissing } from '../stored.ts';
import { PROMISES, type CheckedPlace } from './promises.ts';
import { measureSpeed, type Speed } from './speed.ts';

/** What became of one promise of the contract in a place. */
export interface Finding {
  /** Short and stable, for scripts. */
  readonly promise: string;
  readonly what: string;
  readonly kept: boolean;
  /** What was seen instead, and what follows from it. */
  readonly seen?: string;
  readonly consequence?: string;
}

export interface DestinationReport {
  readonly findings: readonly Finding[];
  /** Not known where it does not even give back what it was given. */
  readonly speed?: Speed;
  /** What of the check could not be removed again, and why. */
  readonly left?: string;
}

/**
 * Runs what the contract promises against a real place, in a folder of its own that no environment can have, and removes
 * that again. `onFinding` hears of each promise as it is known; `onLeft`, before this throws, of what could not be removed.
 * @throws CofreError where the place is no destination, cannot be reached at all, or is full or gone in the middle.
 */
export async function checkDestination(
  name: string,
  config: DestinationConfig,
  {
    signal,
    onFinding,
    onLeft,
  }: { signal: AbortSignal; onFinding: (finding: Finding) => void; onLeft: (left: string | undefined) => void },
): Promise<DestinationReport> {
  const prefix = `_check-${randomBytes(6).toString('hex')}/`;
  // Some promises are about two puts that wait for each other.
  const free = withoutConnections(config);
  const [one, two] = [openDestination(name, free), openDestination(name, free)];
  const keys = new Set<string>();
  const keyOf = (name: string): string => {
    keys.add(prefix + name);
    return prefix + name;
  };
  const place: CheckedPlace = { one, two, prefix, keyOf, signal };
  // Some promises are about many calls at once, and each of them listens.
  setMaxListeners(0, signal);
  try {
    await one.identity();
    let found: { findings: Finding[]; speed?: Speed };
    try {
      found = await lookAt(place, config.type, onFinding);
    } catch (error) {
      onLeft(await clear(one, prefix, [])); // Quickly: somebody may wait for the end of it.
      throw error;
    }
    // Only what the list shows is removed at first, which it may not show truly.
    const byName = found.findings.every(({ kept }) => kept) ? [] : keys;
    const left = await clear(one, prefix, byName);
    return { ...found, ...(left === undefined ? {} : { left }) };
  } finally {
    await one.close();
    await two.close();
  }
}

async function lookAt(
  place: CheckedPlace,
  type: DestinationConfig['type'],
  onFinding: (finding: Finding) => void,
): Promise<{ findings: Finding[]; speed?: Speed }> {
  const findings: Finding[] = [];
  for (const { name, what, consequence, prove } of PROMISES.filter(({ exceptOf }) => exceptOf !== type)) {
    let finding: Finding = { promise: name, what, kept: true };
    try {
      await prove(place);
    } catch (error) {
      place.signal.throwIfAborted();
      if (isNoAnswer(error)) throw error;
      // One that has gone away in the middle says so, or says anything.
      await place.one.identity();
      finding = { promise: name, what, kept: false, seen: messageOf(error), consequence };
    }
    findings.push(finding);
    onFinding(finding);
    // Whoever cannot even do the first of them can do none.
    if (findings.length === 1 && !finding.kept) return { findings };
  }
  try {
    return { findings, speed: await measureSpeed(place) };
  } catch (error) {
    // What was found is the answer, where it is enough for one.
    if (place.signal.aborted || isNoAnswer(error) || findings.every(({ kept }) => kept)) throw error;
    return { findings };
  }
}

/** A place that is full or has gone away keeps no promise, and breaks none. */
function isNoAnswer(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const isOne = error instanceof CofreError && (error.code === 'no-space' || error.code === 'not-mounted');
  return isOne || isNoAnswer(error.cause);
}

/** Also when the check was interrupted. Gives why something is left. */
async function clear(place: Destination, prefix: string, keys: Iterable<string>): Promise<string | undefined> {
  try {
    await place.discard(prefix);
    for (const key of keys) {
      await place.remove(key);
      if ((await unlessMissing(place.stat(key))) !== undefined) return isStill(prefix, `it gives ${key}`);
    }
    for await (const { key } of place.list(prefix)) return isStill(prefix, `it lists ${key}`);
    return undefined;
  } catch (error) {
    return isStill(prefix, messageOf(error));
  }
}

function isStill(prefix: string, why: string): string {
  return `${prefix} is still there: ${why}`;
}
