import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import type { Client } from '@temporalio/client';

import { withClient } from '../../postgres/connect.ts';
import { until } from '../until.ts';
import { holdTable } from './hold-table.ts';
import { Installation } from './installation.ts';
import { dumpsOf, runningTools } from './running-tools.ts';
import { sampleSql } from './sample-data.ts';

interface Backup {
  id: string;
  state: string;
  environment: string;
}

interface RunResult {
  state: string;
  workflowId: string;
  runId: string;
  backupId: string;
  error?: { message: string };
}

/** The run that is over, or the lock that it held: whichever the reset run hears of first. */
const REFUSED = /already: nothing of it is (made|done) again|the lock of this run, was ended from outside/;

describe('a run that an operator terminates or resets', () => {
  let installation: Installation;
  let client: Client;
  let worker: ChildProcess;
  /** Of the loads that were seen; other tests have theirs on the same server. */
  const logins = new Set<string>();

  before(async () => {
    const nightly = { at: '04:00', timezone: 'UTC', run: 'backupDatabase' };
    installation = await Installation.create([{ id: 'one' }, { id: 'two' }], { nightly });
    await installation.createEnvironmentDatabase('one', sampleSql(20_000));
    await installation.createEnvironmentDatabase('two', sampleSql(1_000));
    worker = await installation.startWorker();
    client = await installation.client();
  });

  after(async () => {
    await client.connection.close();
    await installation.remove();
  });

  async function backupsOf(environment: string): Promise<Backup[]> {
    return (await installation.json<Backup[]>(['backups'])).filter((backup) => backup.environment === environment);
  }

  it('case 128: terminated in its dump: the tool ends, and the next night closes the row and removes what is left', async () => {
    const release = await holdTable(installation.target('two'), 'vendas.cliente');
    const { workflowId } = await installation.json<RunResult>(['backup', 'two', '--no-follow']);
    await until('the dump is under way', () => dumpsOf(installation, 'two').length > 0);
    await client.workflow.getHandle(workflowId).terminate('by hand');
    await until('its tools have ended', () => runningTools(installation).length === 0);
    await release();
    assert.deepEqual(
      (await backupsOf('two')).map(({ state }) => state),
      ['running'],
      'nobody has closed it yet',
    );
    assert.equal((await installation.cofre(['run', 'nightly'])).code, 0);
    const [closed] = (await backupsOf('two')).filter(({ state }) => state === 'failed');
    assert.deepEqual((await backupsOf('two')).map(({ state }) => state).sort(), ['complete', 'failed']);
    assert.deepEqual(await readdir(join(installation.spool, 'two')), []);
    const { stdout } = await installation.cofre(['show', closed?.id ?? '']);
    assert.match(stdout, /run-lost.*its run was terminated/);
  });

  it('case 128: terminated in its load, and its worker killed: the half-loaded database and its login are collected', async () => {
    const { backupId } = await installation.json<RunResult>(['backup', 'one']);
    const order = ['restore', '--from', 'one', '--backup', backupId, '--to', 'one', '--yes', '--no-follow'];
    const { workflowId } = await installation.json<RunResult>(order);
    await until('it is loading', async () => (await leftovers()).length === 2);
    await installation.endWorker(worker, 'SIGKILL');
    await client.workflow.getHandle(workflowId).terminate('by hand');
    assert.equal((await leftovers()).length, 2);
    worker = await installation.startWorker();
    assert.deepEqual(await readdir(join(installation.spool, 'one')), [], 'the worker tidies before it takes work');
    assert.equal((await installation.cofre(['run', 'nightly'])).code, 0);
    assert.deepEqual(await leftovers(), []);
    const { stdout } = await installation.cofre(['status', 'one']);
    assert.match(stdout, /the last restore failed: run-lost/);
  });

  for (const step of ['dump', 'resolveBackup'] as const) {
    it(`case 128: reset to its ${step} while it dumps: it goes on, and what looks for lost runs leaves it alone`, async () => {
      const release = await holdTable(installation.target('two'), 'vendas.cliente');
      const { workflowId, runId } = await installation.json<RunResult>(['backup', 'two', '--no-follow']);
      await until('the dump is under way', () => dumpsOf(installation, 'two').length > 0);
      const [first] = dumpsOf(installation, 'two');
      await reset({ workflowId, runId }, step);
      await until('the dump of the new run is under way', () => {
        const dumps = dumpsOf(installation, 'two');
        return dumps.length === 1 && dumps[0] !== first;
      });
      const applied = await installation.cofre(['apply', '--yes']);
      await release();
      const end = await installation.json<RunResult>(['follow', workflowId]);
      assert.equal(end.state, 'complete', JSON.stringify(end));
      assert.ok(!applied.stderr.includes(end.backupId), applied.stderr);
      assert.equal((await readdir(join(installation.backups, 'two', end.backupId))).length, 2);
      await until('its lock is gone', async () => {
        const { status } = await client.workflow.getHandle('op/two').describe();
        return status.name !== 'RUNNING';
      });
      // Reset to its first step it got another id: what it was before is closed by the next that looks for lost runs.
      assert.equal((await installation.cofre(['apply', '--yes'])).code, 0);
      assert.ok((await backupsOf('two')).every(({ state }) => state !== 'running'));
    });
  }

  it('case 128: a backup that is reset when it is complete publishes and deletes nothing again', async () => {
    const run = await installation.json<RunResult>(['backup', 'two']);
    const folder = join(installation.backups, 'two', run.backupId);
    const before = await listing(folder);
    for (const step of ['dump', 'upload', 'verify']) {
      await reset(run, step);
      const end = await installation.json<RunResult>(['follow', run.workflowId]);
      assert.match(end.error?.message ?? '', REFUSED, step);
      assert.deepEqual(await listing(folder), before, step);
      assert.equal((await backupsOf('two')).find(({ id }) => id === run.backupId)?.state, 'complete');
      assert.deepEqual(await readdir(join(installation.spool, 'two')), [], step);
    }
  });

  it('case 128: a restore that is reset when it is done swaps nothing again', async () => {
    const [backup] = (await backupsOf('one')).filter(({ state }) => state === 'complete');
    const order = ['restore', '--from', 'one', '--backup', backup?.id ?? '', '--to', 'one', '--yes'];
    const run = await installation.json<RunResult>(order);
    assert.equal(run.state, 'restored');
    const before = await databases();
    for (const [step, told] of [
      ['fetchBackup', REFUSED],
      ['loadDatabase', REFUSED],
      ['swapDatabase', undefined],
    ] as const) {
      await reset(run, step);
      const end = await installation.json<RunResult>(['follow', run.workflowId]);
      assert.equal(end.state, told === undefined ? 'restored' : 'failed', JSON.stringify(end));
      if (told !== undefined) assert.match(end.error?.message ?? '', told);
      assert.deepEqual(await databases(), before, step);
      assert.deepEqual(await leftovers(), []);
    }
    const removals = client.workflow.list({ query: `WorkflowType = 'dropOldDatabase'` });
    let waiting = 0;
    for await (const { status } of removals) if (status.name === 'RUNNING') waiting += 1;
    assert.equal(waiting, 1, 'the replaced database is removed once, when its time is over');
  });

  /** Runs everything from `step` on again, with Temporal's own ResetWorkflowExecution. */
  async function reset({ workflowId, runId }: { workflowId: string; runId: string }, step: string): Promise<void> {
    const { events } = await client.workflow.getHandle(workflowId, runId).fetchHistory();
    const scheduled = events?.find(({ activityTaskScheduledEventAttributes: of }) => of?.activityType?.name === step);
    await client.workflowService.resetWorkflowExecution({
      namespace: installation.id,
      workflowExecution: { workflowId, runId },
      reason: 'by hand',
      workflowTaskFinishEventId: scheduled?.activityTaskScheduledEventAttributes?.workflowTaskCompletedEventId ?? null,
      requestId: randomUUID(),
    });
  }

  async function listing(folder: string): Promise<string[]> {
    const names = (await readdir(folder, { recursive: true })).sort();
    return await Promise.all(names.map(async (name) => `${name} ${(await stat(join(folder, name))).mtimeMs}`));
  }

  /** Half-loaded databases of this installation, and the logins that load them. */
  async function leftovers(): Promise<string[]> {
    const { rows } = await withClient(installation.admin, (sql) =>
      sql.query<{ name: string }>(
        `SELECT datname AS name FROM pg_database WHERE datname ~ $1 UNION ALL
         SELECT rolname FROM pg_roles WHERE rolname = ANY($2::text[])`,
        [`^${installation.id}_.*__restore_`, [...logins]],
      ),
    );
    for (const { name } of rows) {
      const id = /__restore_([0-9a-f]{8})$/.exec(name)?.[1];
      if (id !== undefined) logins.add(`cofre_restore_${id}`);
    }
    return rows.map(({ name }) => name);
  }

  async function databases(): Promise<string[]> {
    const { rows } = await withClient(installation.admin, (sql) =>
      sql.query<{ name: string }>(
        `SELECT datname || ' ' || oid AS name FROM pg_database WHERE datname LIKE $1 ORDER BY 1`,
        [`${installation.id}\\_%`],
      ),
    );
    return rows.map(({ name }) => name);
  }
});
