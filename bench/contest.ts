import { setTimeout as sleep } from 'node:timers/promises';

/** One way to do a piece of work. */
export interface Contestant {
  readonly name: string;
  /** Not measured. */
  readonly prepare?: () => Promise<void>;
  /** What is measured. Gives what else there is to tell, such as the bytes of the result. */
  readonly run: () => Promise<Measured | undefined>;
  /** Not measured: what there is to tell of the run that has just ended, and takes time to find out. */
  readonly tell?: () => Promise<Measured>;
  /** Reads CPU time so far, in milliseconds; together they are all that the work cost. */
  readonly cpu: { readonly client: () => number; readonly server: () => number; readonly temporal?: () => number };
}

export interface Contest {
  readonly name: string;
  readonly what: string;
  /** The first is the baseline. */
  readonly contestants: readonly Contestant[];
}

/** In milliseconds, and in whatever `run` has told. */
export type Measured = Readonly<Record<string, number>>;

export interface Result {
  readonly name: string;
  readonly what: string;
  /** The first is the baseline. */
  readonly ways: readonly { readonly name: string; readonly rounds: readonly Measured[] }[];
}

/** Lets the contestants take turns, each round another one first. */
export async function hold(contest: Contest, rounds: number): Promise<Result> {
  const ways = contest.contestants.map(({ name }) => ({ name, rounds: [] as Measured[] }));
  for (let round = 0; round < rounds; round += 1) {
    for (let turn = 0; turn < contest.contestants.length; turn += 1) {
      const index = (round + turn) % contest.contestants.length;
      const contestant = contest.contestants[index];
      if (contestant === undefined) continue;
      await contestant.prepare?.();
      const measured = await measure(contestant);
      ways[index]?.rounds.push(measured);
      console.error(`${contest.name}, round ${round + 1}, ${contestant.name}: ${JSON.stringify(measured)}`);
    }
  }
  return { name: contest.name, what: contest.what, ways };
}

/** A session's server process is counted when it has ended, a moment after the session. */
const SETTLE_MS = 200;

async function measure({ run, tell, cpu }: Contestant): Promise<Measured> {
  const read = (): Record<string, number> => ({
    clientMs: cpu.client(),
    serverMs: cpu.server(),
    ...(cpu.temporal === undefined ? {} : { temporalMs: cpu.temporal() }),
  });
  const before = read();
  const startedAt = performance.now();
  const told = await run();
  const wallMs = performance.now() - startedAt;
  await sleep(SETTLE_MS);
  const used = Object.entries(read()).map(([name, ms]) => [name, ms - (before[name] ?? 0)] as const);
  const cpuMs = used.reduce((sum, [, ms]) => sum + ms, 0);
  return { wallMs, cpuMs, ...Object.fromEntries(used), ...told, ...(await tell?.()) };
}
