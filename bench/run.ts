import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { startServers } from '../test/start-servers.ts';
import { projectFolder } from '../tools/project-folder.ts';
import { toMarkdown, type Comparison } from './comparison.ts';
import { tiny } from './tiny.ts';

/** `npm run bench [-- <name>…]`: each benchmark against its baseline, in turns; writes `.cofre/bench/report.{md,json}`. */
const BENCHMARKS: Readonly<Record<string, (rounds: number) => Promise<Comparison>>> = { tiny };
const ROUNDS = 7;

const wanted = process.argv.slice(2);
const unknown = wanted.find((name) => !Object.hasOwn(BENCHMARKS, name));
if (unknown !== undefined) {
  console.error(`there is no benchmark ${unknown}; there are: ${Object.keys(BENCHMARKS).join(', ')}`);
  process.exit(2);
}
const folder = await mkdtemp(join(tmpdir(), 'cofre-bench-'));
const { servers, running } = await startServers(folder);
process.env['COFRE_TEST_SERVERS'] = JSON.stringify(servers);
try {
  const comparisons: Comparison[] = [];
  for (const [name, benchmark] of Object.entries(BENCHMARKS)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    const comparison = await benchmark(ROUNDS);
    comparisons.push(comparison);
    console.log(toMarkdown(comparison));
  }
  const reports = join(projectFolder, '.cofre', 'bench');
  await mkdir(reports, { recursive: true });
  await writeFile(join(reports, 'report.md'), comparisons.map(toMarkdown).join('\n'));
  await writeFile(join(reports, 'report.json'), JSON.stringify(comparisons, null, 2));
  console.log(`written to ${reports}`);
} finally {
  await Promise.all(running.map((server) => server.stop()));
  await rm(folder, { recursive: true, force: true });
}
