import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { run } from 'node:test';

import { messageOf } from '../errors/error.ts';
import { startTemporal } from '../tools/dev-temporal.ts';
import { startPostgres } from '../tools/embedded-postgres.ts';
import { freePort } from '../tools/free-port.ts';
import type { RunningServer } from '../tools/running-server.ts';
import { searchAttributes } from '../workflows/search-attributes.ts';
import { Descendants } from './descendants.ts';
import { Report } from './report.ts';
import type { TestServers } from './servers.ts';

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
  process.env['COFRE_TEST_SERVERS'] = JSON.stringify(await startServers());
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

async function startServers(): Promise<TestServers> {
  const password = randomBytes(16).toString('hex');
  const [postgresPort, temporalPort, uiPort] = [await freePort(), await freePort(), await freePort()];
  const starts = await Promise.allSettled([
    // Tests kill processes, never the machine: there is nothing to wait for the disk for.
    startPostgres({
      folder: join(folder, 'postgres'),
      port: postgresPort,
      password,
      settings: { fsync: 'off', max_connections: '200' },
    }),
    startTemporal({
      folder: join(folder, 'temporal'),
      port: temporalPort,
      uiPort,
      searchAttributes: Object.values(searchAttributes),
    }),
  ]);
  for (const start of starts) if (start.status === 'fulfilled') servers.push(start.value);
  for (const start of starts) if (start.status === 'rejected') throw start.reason;
  return {
    postgres: { host: '127.0.0.1', port: postgresPort, user: 'postgres', password },
    temporal: { address: `127.0.0.1:${temporalPort}`, uiAddress: `http://127.0.0.1:${uiPort}`, namespace: 'default' },
  };
}

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
