import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import type { Client, WorkflowHandle } from '@temporalio/client';

import { Random } from '../../bench/random.ts';
import type { BackupSummary } from '../../catalog/backup-list.ts';
import { CONTROL_QUEUE } from '../../workflows/queues.ts';
import { searchAttributes } from '../../workflows/search-attributes.ts';
import { DAMAGES } from '../damage.ts';
import { until } from '../until.ts';
import { Installation } from './installation.ts';

interface RunResult {
  state: string;
  backupId: string;
  workflowId: string;
  error?: { code: string; message: string };
}

describe('copies', () => {
  let installation: Installation;
  let second: string;
  let client: Client;
  let waiting: WorkflowHandle;
  let backupId: string;

  before(async () => {
    installation = await Installation.create([{ id: 'kept' }, { id: 'twin' }], {}, (config) => {
      const destinations = config['destinations'] as Record<string, object>;
      const volume = destinations['volume'] as { path: string };
      second = join(volume.path, '..', 'second');
      mkdirSync(second, { mode: 0o700 });
      destinations['second'] = { ...volume, path: second };
      const policies = config['policies'] as Record<string, object>;
      policies['both'] = { ...policies['staged'], copies: { to: ['volume', 'second'], complete: 2 } };
      (config['environments'] as Record<string, Record<string, unknown>>)['twin']!['policy'] = 'both';
    });
    const sql = `CREATE TABLE public.t AS SELECT g AS id, md5(random()::text) AS body FROM generate_series(1, 20000) g`;
    for (const id of ['kept', 'twin']) await installation.createEnvironmentDatabase(id, sql);
    await installation.startWorker();
    client = await installation.client();
  });

  after(async () => {
    await client.connection.close();
    await installation.remove();
  });

  async function filesOf(...folders: string[]): Promise<string[]> {
    const names = await readdir(join(...folders), { recursive: true }).catch(() => []);
    return names.filter((name) => name.endsWith('.tar'));
  }

  async function startRun(input: object): Promise<WorkflowHandle> {
    const workflowId = `backupDatabase/twin/${randomInt(1e9)}`;
    return await client.workflow.start('backupDatabase', { taskQueue: CONTROL_QUEUE, workflowId, args: [input] });
  }

  async function attributesOf(handle: WorkflowHandle): Promise<{ needs: string | undefined; backupId: string }> {
    const { typedSearchAttributes: found } = await handle.describe();
    return { needs: found.get(searchAttributes.needs), backupId: found.get(searchAttributes.backupId) ?? '' };
  }

  async function statesOf(id: string): Promise<Record<string, string>> {
    const backups = await installation.json<BackupSummary[]>(['backups', 'twin']);
    const copies = backups.find((backup) => backup.id === id)?.copies ?? [];
    return Object.fromEntries(copies.map(({ destination, state }) => [destination, state]));
  }

  it('case 56: while one of two destinations is away, the local file stays', async () => {
    await rename(second, `${second}.away`);
    waiting = await startRun({ environment: 'twin' });
    await until('it waits for the second destination', async () => (await attributesOf(waiting)).needs === 'resource');
    const { currentDetails } = await waiting.query<{ currentDetails: string }>('__temporal_workflow_metadata');
    assert.match(currentDetails, /Waits for the destination second:.*not mounted/);
    backupId = (await attributesOf(waiting)).backupId;
    await until('the first copy is verified', async () => (await statesOf(backupId))['volume'] === 'verified');
    assert.equal((await filesOf(installation.spool, 'twin', backupId)).length, 1);
  });

  it('case 57: of two runs in one spool each removes its own folder only', async () => {
    const other = await installation.json<RunResult>(['backup', 'twin', '--to', 'volume']);
    assert.equal(other.state, 'complete', JSON.stringify(other));
    assert.notEqual(other.backupId, backupId);
    assert.deepEqual(await readdir(join(installation.spool, 'twin')), [backupId]);
    assert.equal((await filesOf(installation.spool, 'twin', backupId)).length, 1);
  });

  it('case 56: at the end of its time a run is content with one copy, tells the debt and removes the local file', async () => {
    const endsAt = new Date(Date.now() + 5_000).toISOString();
    const run = await startRun({ environment: 'twin', endsAt });
    const { state, backupId: id } = (await run.result()) as RunResult;
    assert.equal(state, 'incomplete');
    assert.deepEqual(await statesOf(id), { volume: 'verified', second: 'missing' });
    assert.equal((await attributesOf(run)).needs, 'operator');
    assert.deepEqual(await readdir(join(installation.spool, 'twin')), [backupId]);
  });

  it('case 56: a run that is cancelled while it waits has one copy and a debt, and leaves no local file', async () => {
    const run = await startRun({ environment: 'twin' });
    await until('it waits for the second destination', async () => (await attributesOf(run)).needs === 'resource');
    const { backupId: id } = await attributesOf(run);
    await until('the first copy is verified', async () => (await statesOf(id))['volume'] === 'verified');
    assert.equal((await statesOf(id))['second'], 'uploading');
    await installation.cofre(['cancel', run.workflowId, '--yes']);
    await assert.rejects(run.result());
    assert.deepEqual(await statesOf(id), { volume: 'verified', second: 'missing' });
    assert.deepEqual(await readdir(join(installation.spool, 'twin')), [backupId]);
  });

  it('case 56: with both copies verified the local file goes', async () => {
    await rename(`${second}.away`, second);
    assert.equal(((await waiting.result()) as RunResult).state, 'complete');
    assert.deepEqual(await statesOf(backupId), { volume: 'verified', second: 'verified' });
    assert.deepEqual(await readdir(join(installation.spool, 'twin')), []);
  });

  it('case 46: a verified copy that is damaged at rest is marked, whatever happened to it, and the next good one is used', async () => {
    const seed = randomInt(2 ** 31);
    const random = new Random(seed);
    const made: string[] = [];
    for (let count = 0; count < 4; count += 1)
      made.push((await installation.json<RunResult>(['backup', 'kept'])).backupId);
    for (const [index, damage] of Object.values(DAMAGES).entries()) {
      const path = await objectOf(made[index + 1] ?? '');
      await damage(path, random.below((await stat(path)).size));
    }
    // From the newest on: each is found when it is to be restored.
    const restoreLatest = ['restore', '--from', 'kept', '--latest', '--to', 'kept', '--yes'];
    for (const damaged of made.slice(1).reverse()) {
      const failed = await installation.json<RunResult>(restoreLatest);
      assert.equal(failed.error?.code, 'bad-content', `${damaged}, seed ${seed}: ${JSON.stringify(failed)}`);
      const [backup] = (await installation.json<BackupSummary[]>(['backups', 'kept'])).filter(
        ({ id }) => id === damaged,
      );
      assert.equal(backup?.copies[0]?.state, 'suspect', `${damaged}, seed ${seed}`);
    }
    const good = await installation.json<RunResult>(restoreLatest);
    assert.deepEqual([good.state, good.backupId], ['restored', made[0]]);
  });

  it('a copy beside which somebody put another manifest is not called verified, until a repair has replaced that', async () => {
    const { backupId: id } = await installation.json<RunResult>(['backup', 'kept']);
    const manifest = await readFile(join(installation.backups, 'kept', id, 'manifest.json'), 'utf8');
    const own = join(second, 'kept', id);
    await mkdir(own, { recursive: true });
    await writeFile(join(own, 'manifest.json'), manifest.replace(/"rows": \d+/, '"rows": 1'));
    assert.notEqual(await readFile(join(own, 'manifest.json'), 'utf8'), manifest);
    const copied = await installation.cofre(['copy', id, '--to', 'second']);
    assert.deepEqual([copied.code, /another one than the catalog has/.test(copied.stderr + copied.stdout)], [5, true]);
    const stateOf = async (): Promise<unknown> =>
      (await installation.json<BackupSummary[]>(['backups', 'kept']))
        .find((backup) => backup.id === id)
        ?.copies.find(({ destination }) => destination === 'second')?.state;
    assert.equal(await stateOf(), 'missing');
    await installation.cofre(['sync', 'second', '--repair']);
    assert.equal(await stateOf(), 'verified');
    assert.equal(await readFile(join(own, 'manifest.json'), 'utf8'), manifest);
  });

  async function objectOf(id: string): Promise<string> {
    const folder = join(installation.backups, 'kept', id);
    return join(folder, (await filesOf(folder))[0] ?? '');
  }
});
