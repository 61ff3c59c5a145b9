import { mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

import type { Pipeline } from '../catalog/manifest.ts';
import { compressDump } from '../sources/postgres/compress.ts';
import { dumpDatabase } from '../sources/postgres/dump.ts';
import type { Bench } from './bench.ts';
import { hold, type Contestant, type Result } from './contest.ts';
import { databaseScript, GIGABYTE } from './data.ts';
import { DUMP } from './practice.ts';

const DATABASE = 'bench_1gb';
const JOBS = 2;

/** Dump and compress, nothing else: what the tools cost. */
export async function dump(bench: Bench): Promise<Result[]> {
  await bench.database(DATABASE, databaseScript(GIGABYTE));
  const clients = await bench.clients();
  const folder = join(bench.folder, 'dump');
  const prepare = async (): Promise<void> => {
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder);
  };
  const practice: Contestant = {
    name: 'pg_dump -Fc -Z6 \\| gzip',
    prepare,
    run: async () => {
      await bench.shell(DUMP, DATABASE, { D: folder });
      return { bytes: (await stat(join(folder, 'dump.gz'))).size };
    },
    cpu: bench.shellCpu(),
  };
  const withCofre = (pipeline: Pipeline): Contestant => ({
    name: `Cofre, ${pipeline}`,
    prepare,
    run: async () => {
      const request = { directory: folder, jobs: JOBS, scratch: join(folder, 'scratch'), stallMs: 300_000 };
      const target = { ...bench.admin, database: DATABASE };
      await dumpDatabase({ ...request, target, clientsFor: () => Promise.resolve(clients), pipeline });
      return { bytes: (await compressDump(request)).sizeBytes };
    },
    cpu: bench.ownCpu(),
  });
  const contestants = [practice, withCofre('streamed'), withCofre('staged')];
  return [await hold({ name: 'dump', what: 'Dump and compress 1 GB', contestants }, bench.rounds)];
}
