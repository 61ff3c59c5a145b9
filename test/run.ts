import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { run } from 'node:test';

import { messageOf } from '../errors/error.ts';
import type { RunningServer } from '../tools/running-server.ts';
import { Descendants } from './descendants.ts';
import { Report } from './report.ts';
import { startServers } from './start-servers.ts';

/**
 * `npm test [-- <path or name>…]`: every test file, those whose path contains one of the arguments, or else the tests
 * whose name does. The last line is `N passed, N failed`; the exit code is 1 if any failed or none ran.
 */

const CONCURRENCY = 2;
const FILE_LIMIT_MS = 10 * 60_000;

const compiled = dirname(import.meta.dirname);
const report = new Report(compiled);
const descendants = new Descendants();
const interrupt = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => interrupt.abort());

const servers: RunningServer[] = [];
const folder = await mkdtemp(join(tmpdir(), 'cofre-test-'));
try {
  const started = await startServers(folder);
  servers.push(...started.running);
  process.env['COFRE_TEST_SERVERS'] = JSON.stringify(started.servers);
  await runFiles(await selectTests(process.argv.slice(2)));
  if (interrupt.signal.aborted) report.fail('the run', 'it was interrupted');
  else if (report.passed + report.failed === 0) report.fail('the run', 'no test matches');
} catch (error) {
  report.fail('the run', messageOf(error));
} finally {
  await Promise.all(servers.map((server) => server.stop()));
  await rm(folder, { recursive: true, force: true });
}
const leftovers = descendants.endLeftovers(process.env['COFRE_TEST_SERVERS'] ?? folder);
if (leftovers.length > 0)
  report.fail('the run', `processes were left behind, and are ended now: ${leftovers.join(', ')}`);
console.log(`${report.passed} passed, ${report.failed} failed`);
process.exitCode = report.failed === 0 ? 0 : 1;

async function selectTests(args: readonly string[]): Promise<{ files: string[]; names: RegExp[] }> {
  const found = await readdir(import.meta.dirname, { recursive: true });
  const files = found.filter((file) => file.endsWith('.test.js')).sort();
  const paths = args.map((arg) => arg.replace(/^(\.\/)?(test\/)?/, '').replace(/\.ts$/, ''));
  const asked = files.filter((file) => paths.some((path) => file.includes(path)));
  const byPath = asked.length > 0;
  return {
    files: (byPath ? asked : files).map((file) => join(import.meta.dirname, file)),
    names: byPath ? [] : args.map((arg) => new RegExp(arg.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))),
  };
}

async function runFiles({ files, names }: { files: string[]; names: RegExp[] }): Promise<void> {
  const events = run({
    files,
    concurrency: CONCURRENCY,
    timeout: FILE_LIMIT_MS,
    signal: interrupt.signal,
    ...(names.length === 0 ? {} : { testNamePatterns: names }),
  });
  for await (const event of events) report.take(event);
}
