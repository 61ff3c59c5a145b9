import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';

import { finishBackup, recordCopy, recordDump, startBackup } from '../../catalog/backups.ts';
import type { Status } from '../../cli/status.ts';
import { hostQueue } from '../../workflows/queues.ts';
import { testServers } from '../servers.ts';
import { until } from '../until.ts';
import { cofre } from './command.ts';
import { Installation } from './installation.ts';

let here: Installation;

before(async () => {
  here = await Installation.create();
  const { destinations, ...rest } = here.config();
  const path = join(here.folder, 'second');
  await mkdir(path);
  await here.write({ ...rest, destinations: { ...destinations, second: { type: 'directory', path, shared: true } } });
  assert.equal((await cofre('apply', '--yes', '--config', here.configPath)).code, 0);
});
after(async () => {
  await here.remove();
});

async function backup(
  id: string,
  end: 'complete' | 'incomplete' | 'failed',
  { environment = 'acme-prod', destination = 'volume' } = {},
): Promise<void> {
  const catalog = await here.openCatalog();
  const common = {
    environment,
    kind: 'database',
    mode: 'full',
    pipeline: 'staged',
    runId: 'r',
    configVersion: 1,
  } as const;
  await startBackup(catalog, {
    ...common,
    id,
    workflowId: `backupDatabase/${environment}/${id}`,
    startedAt: '2026-11-20T00:00:00Z',
  });
  const error = { code: 'no-space', message: 'the spool is full', hint: 'make room' };
  if (end === 'failed') return void (await finishBackup(catalog, { backupId: id, state: 'failed', error }));
  await recordDump(catalog, { backupId: id, attempt: 'a1', host: 'here', rows: 5, rawBytes: 100, warnings: [] });
  await recordCopy(catalog, {
    backupId: id,
    destination,
    state: 'verified',
    attempt: 'a1',
    sizeBytes: 50,
    sha256: 'a'.repeat(64),
  });
  if (end === 'incomplete') await recordCopy(catalog, { backupId: id, destination: 'second', state: 'missing', error });
  await finishBackup(catalog, { backupId: id, state: end });
}

async function status(...args: string[]): Promise<{ code: number | null; status: Status }> {
  const { code, stdout } = await cofre('status', ...args, '--json', '--config', here.configPath);
  return { code, status: JSON.parse(stdout) as Status };
}

describe('cofre status and cofre backups', () => {
  test('an environment without a verified backup is in trouble', async () => {
    const { stdout, code } = await cofre('status', '--config', here.configPath);
    assert.equal(code, 0);
    assert.match(stdout, /acme-prod +production +none +no verified backup/);
    assert.match(stdout, /no worker takes workflows: nothing moves; start cofre worker/);
    assert.match(stdout, /nightly +\w{3} \d{4}-\d\d-\d\d 21:00 America\/Sao_Paulo/);
  });

  test('shows the newest verified backup, missing copies and a failure after it', async () => {
    await backup('20261120T000000Z-00000001', 'failed');
    await backup('20261120T010000Z-00000002', 'incomplete');
    const before = (await status()).status.environments[0];
    assert.equal(before?.verified?.id, '20261120T010000Z-00000002');
    assert.equal(before?.debts, 1);
    assert.equal(before?.failure, null, 'a failure before a verified backup is history');
    await backup('20261120T020000Z-00000003', 'failed');
    const { stdout } = await cofre('status', 'acme-prod', '--config', here.configPath);
    assert.match(stdout, /20261120T020000Z-00000003 failed: no-space: the spool is full; 1 copy is missing/);
  });

  test('a backup that is only where the configuration leads no more is none that a restore finds', async () => {
    await backup('20261120T030000Z-00000004', 'complete', { destination: 'gone' });
    const { status: shown } = await status();
    const [environment] = shown.environments;
    assert.equal(environment?.verified?.id, '20261120T010000Z-00000002');
    assert.deepEqual(environment?.outside, { backups: 1, destinations: ['gone'] });
    const catalog = await here.openCatalog();
    await catalog.query(`UPDATE cofre.copies SET state = 'suspect' WHERE destination = 'gone'`);
    assert.deepEqual((await status()).status.environments[0]?.outside, { backups: 1, destinations: ['gone'] });
    const { stdout } = await cofre('status', '--config', here.configPath);
    assert.match(stdout, /1 backup is only in gone, which the configuration has no more: put it back/);
  });

  test('a worker that has as much heavy work as it takes, and asks for no more, is there', async () => {
    const isThere = async (): Promise<boolean | undefined> =>
      (await status()).status.workers.find(({ host }) => host === 'here')?.working;
    assert.equal(await isThere(), false);
    Runtime.install({ logger: new DefaultLogger('ERROR') });
    const connection = await NativeConnection.connect({ address: testServers().temporal.address });
    const worker = await Worker.create({
      ...{ connection, namespace: here.namespace, taskQueue: hostQueue('here', 'light') },
      activities: { nothing: () => Promise.resolve() },
    });
    await worker.runUntil(until('it is seen', async () => (await isThere()) === true));
    await connection.close();
  });

  test('a routine that is paused says why', async () => {
    assert.equal(
      (await cofre('pause', 'nightly', '--reason', 'the storage is being replaced', '--config', here.configPath)).code,
      0,
    );
    const { stdout } = await cofre('status', '--config', here.configPath);
    assert.match(stdout, /nightly +paused: the storage is being replaced \(/);
    assert.equal((await cofre('resume', 'nightly', '--config', here.configPath)).code, 0);
    assert.notEqual((await status()).status.routines[0]?.nextStart, null);
  });

  test('Temporal away: said, the catalog’s part is shown, exit code 4', async () => {
    const config = here.config();
    await here.write({ ...config, temporal: { address: '127.0.0.1:1' } });
    const { code, status: found } = await status();
    await here.write(config);
    assert.equal(code, 4);
    assert.match(found.unreachable.join(), /Temporal at 127.0.0.1:1 cannot be reached/);
    assert.equal(found.environments[0]?.environment, 'acme-prod');
  });

  test('an unknown environment is exit code 2 and names the near one', async () => {
    const { code, stderr } = await cofre('status', 'acme-prd', '--config', here.configPath);
    assert.equal(code, 2);
    assert.match(stderr, /did you mean acme-prod/);
    assert.equal((await cofre('backups', 'acme-prd', '--config', here.configPath)).code, 2);
  });

  test('backups lists the newest first', async () => {
    const { stdout } = await cofre('backups', 'acme-prod', '--config', here.configPath);
    const lines = stdout.trim().split('\n');
    assert.match(lines[2] ?? '', /^20261120T020000Z-00000003 +acme-prod +failed/);
    assert.match(lines[3] ?? '', /incomplete +50 bytes +100 bytes +second missing, volume verified/);
  });

  test('show tells of a failed backup why it failed and what to do', async () => {
    const { stdout, code } = await cofre('show', '20261120T020000Z-00000003', '--config', here.configPath);
    assert.equal(code, 0);
    assert.match(stdout, /failed +no-space: the spool is full/);
    assert.match(stdout, /next step +make room/);
    assert.equal((await cofre('show', '20261120T020000Z-00000009', '--config', here.configPath)).code, 2);
  });

  test('run starts a routine once at a time; nobody who is unknown', async () => {
    const first = await cofre('run', 'nightly', '--no-follow', '--config', here.configPath);
    assert.equal(first.code, 0, first.stderr);
    assert.match(first.stdout, /^runRoutine\/nightly-/);
    const second = await cofre('run', 'nightly', '--no-follow', '--config', here.configPath);
    assert.equal(second.code, 0);
    assert.equal(second.stdout, first.stdout);
    assert.match(second.stderr, /running already, and runs once at a time/);
    await here.client.workflow.getHandle(first.stdout.trim()).terminate('the test is over');
    const unknown = await cofre('run', 'nighty', '--config', here.configPath);
    assert.equal(unknown.code, 2);
    assert.match(unknown.stderr, /did you mean nightly/);
  });
});
