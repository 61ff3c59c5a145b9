import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

import type { Bench } from './bench.ts';
import { hold, type Contestant, type Result } from './contest.ts';
import { databaseScript, GIGABYTE, largeObjects, manyTables } from './data.ts';
import { observe } from './observe.ts';
import { BACKUP } from './practice.ts';
import { Site } from './site.ts';

/** A complete, verified backup against a dump and a copy that nobody looks at again. */
export async function backup(bench: Bench): Promise<Result[]> {
  await bench.database('bench_1gb', databaseScript(GIGABYTE));
  return await compare(bench, 'backup', 'A complete backup of 1 GB', 'bench_1gb');
}

export async function tables(bench: Bench): Promise<Result[]> {
  await bench.database('bench_tables', manyTables(1_000));
  return await compare(bench, 'tables', 'A complete backup of 1,000 tables', 'bench_tables');
}

export async function objects(bench: Bench): Promise<Result[]> {
  await bench.database('bench_objects', largeObjects(20_000));
  return await compare(bench, 'objects', 'A complete backup of 20,000 large objects', 'bench_objects');
}

async function compare(bench: Bench, name: string, what: string, database: string): Promise<Result[]> {
  const folder = join(bench.folder, name);
  await mkdir(folder);
  const site = await Site.open(bench, database);
  try {
    const practice: Contestant = {
      name: 'pg_dump -Fc -Z6 \\| gzip; cp',
      run: async () => {
        await bench.shell(BACKUP, database, { D: folder });
        return { bytes: (await stat(join(folder, 'stored.gz'))).size };
      },
      cpu: bench.shellCpu(),
    };
    const cofre: Contestant = {
      name: 'Cofre',
      run: async () => ({ bytes: (await site.backup()).sizeBytes }),
      tell: () => site.steps(),
      cpu: site.cpu,
    };
    // First, and not measured: a worker's first run compiles.
    const observed = await observe(site.workerPid, site.spool, () => site.backup());
    const result = await hold({ name, what, contestants: [practice, cofre] }, bench.rounds);
    return [result, { name: `${name}-peaks`, what: `${what}: peaks`, ways: [{ name: 'Cofre', rounds: [observed] }] }];
  } finally {
    await site.close();
  }
}
