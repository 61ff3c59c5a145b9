import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { collectGarbageAtOnce } from '../processes/garbage.ts';
import { startServers } from '../test/start-servers.ts';
import { Bench } from './bench.ts';
import type { Result } from './contest.ts';
import { machineInWords } from './machine.ts';
import { toMarkdown } from './report.ts';
import { saveResults, writeReport } from './saved.ts';

type Benchmark = (bench: Bench) => Promise<Result[]>;

/**
 * `npm run bench [-- <name>…] [--rounds N]`: each benchmark against its baseline, in turns, on servers of its own with
 * their default settings. Writes `.cofre/bench/<name>.json` for each, and `.cofre/bench/report.md` of all that are there:
 * the tables of `docs/performance.md`. Each is loaded when its turn comes: the data of the databases would be in the way of
 * those that measure this process.
 */
const BENCHMARKS: Readonly<Record<string, () => Promise<Benchmark>>> = {
  directory: async () => (await import('./directory.ts')).directory,
  s3: async () => (await import('./s3.ts')).s3,
  gcs: async () => (await import('./gcs.ts')).gcs,
  sftp: async () => (await import('./sftp.ts')).sftp,
  'object-memory': async () => (await import('./object-memory.ts')).objectMemory,
  tiny: async () => (await import('./tiny.ts')).tiny,
  tables: async () => (await import('./backup.ts')).tables,
  objects: async () => (await import('./backup.ts')).objects,
  dump: async () => (await import('./dump.ts')).dump,
  backup: async () => (await import('./backup.ts')).backup,
  restore: async () => (await import('./restore.ts')).restore,
  memory: async () => (await import('./memory.ts')).memory,
};

const { positionals: wanted, values } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: 'string', default: '5' } },
});
const unknown = wanted.find((name) => !Object.hasOwn(BENCHMARKS, name));
if (unknown !== undefined) {
  console.error(`there is no benchmark ${unknown}; there are: ${Object.keys(BENCHMARKS).join(', ')}`);
  process.exit(2);
}
// As every `cofre` does.
collectGarbageAtOnce();
const folder = await mkdtemp(join(tmpdir(), 'cofre-bench-'));
const { servers, running } = await startServers(folder, { fsync: 'on' });
process.env['COFRE_TEST_SERVERS'] = JSON.stringify(servers);
try {
  const [postgres, temporal] = running.map(({ pid }) => pid);
  const bench = new Bench({
    folder,
    rounds: Number(values.rounds),
    pids: { postgres: postgres ?? 0, temporal: temporal ?? 0 },
  });
  const machine = await machineInWords(bench);
  for (const [name, load] of Object.entries(BENCHMARKS)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    const results = await (await load())(bench);
    console.log(results.map(toMarkdown).join('\n'));
    await saveResults(name, { machine, measuredAt: new Date().toISOString(), results });
  }
  console.log(`written to ${await writeReport(Object.keys(BENCHMARKS))}`);
} finally {
  await Promise.all(running.map((server) => server.stop()));
  await rm(folder, { recursive: true, force: true });
}
