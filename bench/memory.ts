import type { Bench } from './bench.ts';
import type { Measured, Result } from './contest.ts';
import { databaseScript, GIGABYTE } from './data.ts';
import { observe } from './observe.ts';
import { Site } from './site.ts';

const SIZES = [
  { name: '100 MB', database: 'bench_100mb', bytes: 0.1 * GIGABYTE },
  { name: '4 GB', database: 'bench_4gb', bytes: 4 * GIGABYTE },
];
const PIPELINES = ['staged', 'streamed'] as const;

/** The memory of a worker, which must not grow with the data: a new worker for each size. */
export async function memory(bench: Bench): Promise<Result[]> {
  const rows: { kind: string; name: string; measured: Measured }[] = [];
  for (const { name, database, bytes } of SIZES) {
    await bench.database(database, databaseScript(bytes));
    for (const pipeline of PIPELINES) {
      const site = await Site.open(bench, database, pipeline);
      try {
        let backupId = '';
        const backup = await observe(site.workerPid, site.spool, async () => {
          ({ backupId } = await site.backup());
        });
        const restore = await observe(site.workerPid, site.spool, () => site.restore(backupId));
        // What the restore has replaced: both sizes and both databases would not fit on many disks.
        await bench.dropReplaced(database);
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
