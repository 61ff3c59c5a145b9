import type { Bench } from './bench.ts';
import type { Measured, Result } from './contest.ts';
import { copiesOfLargeTables, databaseScript, GIGABYTE } from './data.ts';
import { observe } from './observe.ts';
import { Site } from './site.ts';

const SIZES = [
  { name: '100 MB', database: 'bench_100mb' },
  { name: '4 GB', database: 'bench_4gb' },
];
const PIPELINES = ['staged', 'streamed'] as const;

/** The memory of a worker, which must not grow with the data: a new worker for each size. */
export async function memory(bench: Bench): Promise<Result[]> {
  const rows: { kind: string; name: string; measured: Measured }[] = [];
  await bench.database('bench_100mb', databaseScript(GIGABYTE / 10));
  await bench.database('bench_1gb', databaseScript(GIGABYTE));
  await bench.database('bench_4gb', copiesOfLargeTables(4), 'bench_1gb');
  for (const { name, database } of SIZES) {
    for (const pipeline of PIPELINES) {
      const site = await Site.open(bench, database, pipeline);
      try {
        let backupId = '';
        const backup = await observe(site.workerPid, site.spool, async () => {
          ({ backupId } = await site.backup());
        });
        const restore = await observe(site.workerPid, site.spool, () => site.restore(backupId));
        rows.push({ kind: `${pipeline}: backup`, name, measured: backup });
        rows.push({ kind: `${pipeline}: restore`, name, measured: restore });
      } finally {
        await site.close();
      }
    }
  }
  return [...new Set(rows.map(({ kind }) => kind))].map((kind) => ({
    name: `memory: ${kind}`,
    what: `Peaks, ${kind}`,
    ways: rows.filter((row) => row.kind === kind).map(({ name, measured }) => ({ name, rounds: [measured] })),
  }));
}
