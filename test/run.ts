import { setMaxListeners } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { run } from 'node:test';

import { messageOf } from '../errors/error.ts';
import type { RunningServer } from '../tools/running-server.ts';
import { Descendants } from './descendants.ts';
import { isLong } from './long.ts';
import { Report } from './report.ts';
import { startProductionTemporal, startServers } from './start-servers.ts';

/**
 * `npm test [-- <path or name>…]`: every test file, those whose path contains one of the arguments, or else the tests
 * whose name does. The last line is `N passed, N failed`; the exit code is 1 if any failed or none ran.
 *
 * Everything runs with Temporal's development server. What shows that the product works with Temporal at all runs a
 * second time with the Temporal server of a production, on PostgreSQL; at full size (`npm run test:long`), all of acceptance but
 * what brings servers of its own.
 */

const CONCURRENCY = 3;
const FILE_LIMIT_MS = (isLong ? 60 : 10) * 60_000;
const AGAIN_IN_PRODUCTION = isLong
  ? /^acceptance\/(?!crash-servers)/
  : /^acceptance\/(main-job|routine|console)\.test\.js$/;

const compiled = dirname(import.meta.dirname);
const report = new Report(compiled);
const descendants = new Descendants();
const interrupt = new AbortController();
// Node's runner listens once for each file.
setMaxListeners(0, interrupt.signal);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => interrupt.abort());

const servers: RunningServer[] = [];
const folder = await mkdtemp(join(tmpdir(), 'cofre-test-'));
/** In the environment of every test, and of nothing else. */
let mark = folder;
try {
  const { files, names } = await selectTests(process.argv.slice(2));
  const started = await startServers(folder);
  servers.push(...started.running);
  mark = started.servers.postgres.password;
  process.env['COFRE_TEST_SERVERS'] = JSON.stringify(started.servers);
  await runFiles(files, names);
  const again = files.filter((file) => AGAIN_IN_PRODUCTION.test(file));
  if (again.length > 0 && !interrupt.signal.aborted) {
    const production = await startProductionTemporal(folder, started.servers);
    servers.unshift(production.running);
    process.env['COFRE_TEST_SERVERS'] = JSON.stringify(production.servers);
    report.suffix = ', with a Temporal server of production shape';
    await runFiles(again, names);
  }
  if (interrupt.signal.aborted) report.fail('the run', 'it was interrupted');
  else if (report.passed + report.failures.length === 0) report.fail('the run', 'no test matches');
} catch (error) {
  report.fail('the run', messageOf(error));
} finally {
  // Temporal before the PostgreSQL that it writes to.
  for (const server of servers) await server.stop();
  await rm(folder, { recursive: true, force: true });
}
const leftovers = descendants.endLeftovers(mark);
if (leftovers.length > 0)
  report.fail('the run', `processes were left behind, and are ended now: ${leftovers.join(', ')}`);
report.end();
process.exitCode = report.failures.length === 0 ? 0 : 1;

/** Paths are relative to this folder. */
async function selectTests(args: readonly string[]): Promise<{ files: string[]; names: RegExp[] }> {
  const found = await readdir(import.meta.dirname, { recursive: true });
  const files = found.filter((file) => file.endsWith('.test.js')).sort();
  const paths = args.map((arg) => arg.replace(/^(\.\/)?(test\/)?/, '').replace(/\.ts$/, ''));
  const asked = files.filter((file) => paths.some((path) => file.includes(path)));
  const byPath = asked.length > 0;
  return {
    files: byPath ? asked : files,
    names: byPath ? [] : args.map((arg) => new RegExp(arg.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))),
  };
}

async function runFiles(files: readonly string[], names: RegExp[]): Promise<void> {
  const events = run({
    files: files.map((file) => join(import.meta.dirname, file)),
    concurrency: CONCURRENCY,
    timeout: FILE_LIMIT_MS,
    signal: interrupt.signal,
    ...(names.length === 0 ? {} : { testNamePatterns: names }),
  });
  for await (const event of events) report.take(event);
}
