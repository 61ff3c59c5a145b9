import type { Measured, Result } from './contest.ts';
import { median } from './report.ts';

/** What is to be reached against a baseline: the first way of the same result, or that whose name begins with `base`. */
interface Target {
  readonly what: string;
  readonly result: string;
  /** By how its name begins. */
  readonly way: string;
  readonly base?: string;
  readonly column: string;
  /** At most; in milliseconds or bytes where it is what comes on top of the baseline. */
  readonly limit: number;
  readonly as: 'ratio' | 'on top';
}

const MEMORY: readonly Target[] = ['staged', 'streamed'].flatMap((pipeline) =>
  ['backup', 'restore'].map((kind) => ({
    what: `worker's memory, ${kind} (${pipeline}), 4 GB against 100 MB`,
    ...{
      result: `memory: ${pipeline}: ${kind}`,
      way: '4 GB',
      column: 'workerBytes',
      limit: 50e6,
      as: 'on top' as const,
    },
  })),
);

function objectPut(place: string, limit: number): Omit<Target, 'as'> {
  return { what: `put of an object, ${place}: wall`, result: `${place} put`, way: 'Cofre', column: 'wallMs', limit };
}

/** As fast as a plain download, or for a folder as hashing alone. */
function objectGet(place: string): Omit<Target, 'as'> {
  return { what: `read back, ${place}: wall`, result: `${place} get`, way: 'Cofre', column: 'wallMs', limit: 1.1 };
}

const OBJECT_MEMORY: readonly Target[] = ['directory', 's3', 'gcs', 'sftp', 'rclone'].flatMap((place) =>
  ['put', 'read back'].map((way) => ({
    what: `a process's memory, ${way} of a large object (${place}), above idle`,
    ...{ result: `object memory: ${place}`, way, column: 'workerBytes', limit: 150e6, as: 'on top' as const },
  })),
);

const TARGETS: readonly Target[] = [
  { what: 'dump and compress, streamed: wall', result: 'dump', way: 'Cofre, streamed', column: 'wallMs', limit: 0.33 },
  { what: 'complete backup, staged: wall', result: 'backup', way: 'Cofre', column: 'wallMs', limit: 0.38 },
  { what: 'complete backup, staged: CPU', result: 'backup', way: 'Cofre', column: 'cpuMs', limit: 0.42 },
  { what: 'complete backup, staged: size', result: 'backup', way: 'Cofre', column: 'bytes', limit: 0.98 },
  { what: 'restore, load and indexes: wall', result: 'load', way: 'Cofre', column: 'wallMs', limit: 0.78 },
  { what: 'complete restore: wall', result: 'restore', way: 'Cofre', column: 'wallMs', limit: 0.92 },
  ...['directory', 'sftp next door', 'sftp 20 ms away', 'gcs'].map((place) => objectPut(place, 1.1)),
  objectPut('s3', 1),
  {
    what: 'put of an object, s3: CPU, against lib-storage',
    ...{ result: 's3 put', way: 'Cofre', base: '@aws-sdk/lib-storage', column: 'clientMs', limit: 0.5 },
  },
  ...['directory', 's3', 'gcs', 'sftp next door', 'sftp 20 ms away'].map(objectGet),
].map((target) => ({ ...target, as: 'ratio' as const }));

const ON_TOP: readonly Target[] = [
  {
    what: 'orchestration of a tiny backup, on top of bare tools',
    ...{ result: 'tiny', way: 'backupDatabase', column: 'wallMs', limit: 500, as: 'on top' },
  },
  ...MEMORY,
  ...OBJECT_MEMORY,
];

/** A table of what was to be reached and what was: from medians, and its range from round to round. */
export function targetsToMarkdown(results: readonly Result[]): string {
  const rows = [...TARGETS, ...ON_TOP].flatMap((target) => {
    const found = results.find(({ name }) => name === target.result);
    const roundsOf = (way: string): readonly Measured[] =>
      found?.ways.find(({ name }) => name.startsWith(way))?.rounds ?? [];
    const base = roundsOf(target.base ?? '');
    const rounds = roundsOf(target.way);
    if (rounds.length === 0) return [];
    const reached = compare(target, median(valuesOf(rounds, target)), median(valuesOf(base, target)));
    const each = valuesOf(rounds, target).map((value, round) => compare(target, value, valuesOf(base, target)[round]));
    const range =
      each.length < 2 ? '' : ` (${inWords(target, Math.min(...each))}–${inWords(target, Math.max(...each))})`;
    return [
      `| ${target.what} | ≤ ${inWords(target, target.limit)} | ${inWords(target, reached)}${range} | ${reached <= target.limit ? 'yes' : '**no**'} |`,
    ];
  });
  return ['| What | Target | Reached | Met |', '| --- | --- | --- | --- |', ...rows, ''].join('\n');
}

function valuesOf(rounds: readonly Measured[], { column }: Target): number[] {
  return rounds.map((round) => round[column] ?? Number.NaN);
}

function compare({ as }: Target, value: number, base = Number.NaN): number {
  return as === 'ratio' ? value / base : value - base;
}

function inWords({ as, column }: Target, value: number): string {
  if (as === 'ratio') return value.toFixed(3);
  return column.endsWith('Ms') ? `${(value / 1000).toFixed(2)} s` : `${(value / 1e6).toFixed(0)} MB`;
}
