// Usage: node tools/download-temporal.mjs FILE: the Temporal CLI that the TypeScript SDK downloads for its tests.
import { rmSync } from 'node:fs';
import { mkdir, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';

import { DefaultLogger, Runtime } from '@temporalio/worker';
import { TestWorkflowEnvironment } from '@temporalio/testing';

const LIMIT_MS = 60_000;
const file = process.argv[2];
const downloadDir = `${file}.download`;

process.on('exit', () => rmSync(downloadDir, { recursive: true, force: true }));
// A machine behind a firewall that drops packets would wait for minutes.
const limit = setTimeout(() => fail('no answer within a minute'), LIMIT_MS);
Runtime.install({ logger: new DefaultLogger('ERROR') });
try {
  await mkdir(downloadDir, { recursive: true });
  const environment = await TestWorkflowEnvironment.createLocal({
    server: { executable: { type: 'cached-download', downloadDir } },
  });
  await environment.teardown();
  const [name] = await readdir(downloadDir);
  await rename(join(downloadDir, name), file);
  clearTimeout(limit);
} catch (error) {
  fail(error.message.split(': error sending request')[0]);
}

function fail(reason) {
  console.error(reason);
  process.exit(1);
}
