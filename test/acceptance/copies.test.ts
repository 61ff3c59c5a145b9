import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { readdir, rename, truncate } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import type { Client, WorkflowHandle } from '@temporalio/client';

import type { BackupSummary } from '../../catalog/backup-list.ts';
import { openClient } from '../../postgres/connect.ts';
import { CONTROL_QUEUE } from '../../workflows/queues.ts';
import { searchAttributes } from '../../workflows/search-attributes.ts';
import { until } from '../until.ts';
import { Installation } from './installation.ts';

interface RunResult {
  state: string;
  backupId: string;
  error?: { code: string; message: string };
}

/** An advisory lock. */
const HELD = 4711;

describe('further copies', () => {
  let installation: Installation;
  let folders: Record<string, string>;
  let client: Client;

  before(async () => {
    folders = {};
    const routine = { at: '21:00', run: 'backupDatabase' };
    const copies = { at: '06:00', run: 'copyBackups', from: 'volume', to: ['offsite'] };
    installation = await Installation.create(
      [{ id: 'shop' }],
      { nightly: routine, 'second-copy': copies },
      (config) => {
        const destinations = config['destinations'] as Record<string, object>;
        const volume = destinations['volume'] as { path: string };
        folders['volume'] = volume.path;
        for (const name of ['second', 'offsite']) {
          const path = join(volume.path, '..', name);
          mkdirSync(path, { mode: 0o700 });
          destinations[name] = { ...volume, path };
          folders[name] = path;
        }
        const policies = config['policies'] as Record<string, object>;
        policies['staged'] = { ...policies['staged'], copies: { to: ['volume', 'second'] }, endsWithin: '20h' };
      },
    );
    const sql = `CREATE TABLE public.t AS SELECT g AS id, md5(random()::text) AS body FROM generate_series(1, 20000) g`;
    await installation.createEnvironmentDatabase('shop', sql);
    await installation.startWorker();
    client = await installation.client();
  });

  after(async () => {
    await client.connection.close();
    await installation.remove();
  });

  async function away(name: string): Promise<void> {
    await rename(folders[name] ?? '', `${folders[name]}.away`);
  }

  async function back(name: string): Promise<void> {
    await rename(`${folders[name]}.away`, folders[name] ?? '');
  }

  async function backupOf(id: string): Promise<BackupSummary> {
    const found = (await installation.json<BackupSummary[]>(['backups', 'shop'])).find((backup) => backup.id === id);
    assert.ok(found);
    return found;
  }

  async function copiesOf(id: string): Promise<Record<string, string>> {
    return Object.fromEntries((await backupOf(id)).copies.map(({ destination, state }) => [destination, state]));
  }

  async function archivesIn(name: string, id: string): Promise<string[]> {
    const found = await readdir(join(folders[name] ?? '', 'shop', id), { recursive: true }).catch(() => []);
    return found.filter((file) => file.endsWith('.tar') || file === 'manifest.json');
  }

  async function debts(): Promise<number | undefined> {
    const { environments } = await installation.json<{ environments: { debts: number }[] }>(['status', 'shop']);
    return environments[0]?.debts;
  }

  async function backUpWithin(ms: number): Promise<RunResult> {
    const endsAt = new Date(Date.now() + ms).toISOString();
    const run = await client.workflow.start('backupDatabase', {
      taskQueue: CONTROL_QUEUE,
      workflowId: `backupDatabase/shop/${randomInt(1e9)}`,
      args: [{ environment: 'shop', endsAt }],
    });
    return (await run.result()) as RunResult;
  }

  async function needsOf(handle: WorkflowHandle): Promise<string | undefined> {
    const { typedSearchAttributes } = await handle.describe();
    return typedSearchAttributes.get(searchAttributes.needs);
  }

  it('case 56: a debt is visible, and paid by itself from another copy once its destination is back', async () => {
    const paying = client.workflow.getHandle('copyBackups/shop/debts');
    await away('second');
    let backupId: string;
    try {
      const made = await backUpWithin(5_000);
      assert.equal(made.state, 'incomplete');
      backupId = made.backupId;
      assert.equal(await debts(), 1);
      // A night that has nothing else to do begins to pay the debts of others, and does not wait for it.
      const night = await installation.cofre(['run', 'nightly', '--missing']);
      assert.equal(night.code, 0, night.stderr);
      await until('it waits for the destination', async () => (await needsOf(paying)) === 'resource');
    } finally {
      await back('second');
    }
    await until('the debt is paid', async () => (await copiesOf(backupId))['second'] === 'verified', 60_000);
    assert.equal(((await paying.result()) as RunResult).state, 'complete');
    assert.equal((await backupOf(backupId)).state, 'complete');
    assert.equal(await debts(), 0);
    // From the same dump: the same objects under the same names.
    assert.deepEqual(await archivesIn('second', backupId), await archivesIn('volume', backupId));
  });

  it('a backup is copied by hand; a copy that is damaged is marked, and another one is read', async () => {
    const { backupId } = await installation.json<RunResult>(['backup', 'shop']);
    const archive = (await archivesIn('volume', backupId)).find((file) => file.endsWith('.tar')) ?? '';
    await truncate(join(folders['volume'] ?? '', 'shop', backupId, archive), 2_000);
    const copied = await installation.cofre(['copy', backupId, '--from', 'volume', '--to', 'offsite']);
    assert.equal(copied.code, 0, copied.stderr);
    assert.match(copied.stderr, /copies of shop: 1 of 1 made and verified/);
    assert.deepEqual(await copiesOf(backupId), { offsite: 'verified', second: 'verified', volume: 'suspect' });
    const again = await installation.cofre(['copy', backupId, '--to', 'offsite']);
    assert.match(again.stderr, /nothing was missing/);
  });

  it('refuses what cannot be copied, and names what is wrong', async () => {
    const unknown = await installation.json<RunResult>(['copy', '20261120T210000Z-1f3a9c04', '--to', 'offsite']);
    assert.equal(unknown.error?.code, 'not-known');
    const nowhere = await installation.json<RunResult>(['copy', '20261120T210000Z-1f3a9c04', '--to', 'offsit']);
    assert.match(nowhere.error?.message ?? '', /no destination "offsit"/);
  });

  it('the routine copies everything that its destination lacks, also a backup that still runs when it begins', async () => {
    const locker = await openClient(installation.target('shop'));
    await locker.query('BEGIN; LOCK TABLE public.t IN ACCESS EXCLUSIVE MODE');
    const running = installation.json<RunResult>(['backup', 'shop']);
    const isRunning = async (): Promise<boolean> => {
      const [newest] = await installation.json<BackupSummary[]>(['backups', 'shop']);
      return newest?.state === 'running';
    };
    await until('a backup runs', isRunning);
    const routine = installation.cofre(['run', 'second-copy']);
    const others = (await installation.json<BackupSummary[]>(['backups', 'shop'])).slice(1).map(({ id }) => id);
    await until('the others are copied', async () => {
      const states = await Promise.all(others.map(async (id) => (await copiesOf(id))['offsite']));
      return states.every((state) => state === 'verified');
    });
    await locker.end();
    const { backupId, state } = await running;
    assert.equal(state, 'complete');
    const ended = await routine;
    assert.equal(ended.code, 0, ended.stderr);
    assert.equal((await copiesOf(backupId))['offsite'], 'verified');
    assert.deepEqual(await archivesIn('offsite', backupId), await archivesIn('second', backupId));
  });

  it('a worker that is killed in the middle of a copy leaves nothing to see, and the copy goes on', async () => {
    const { backupId } = await installation.json<RunResult>(['backup', 'shop']);
    const holder = await openClient(installation.catalog);
    await holder.query(`SELECT pg_advisory_lock(${HELD});
      CREATE FUNCTION cofre.hold() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_advisory_lock_shared(${HELD}); PERFORM pg_advisory_unlock_shared(${HELD}); RETURN NEW; END $$;
      CREATE TRIGGER hold BEFORE UPDATE ON cofre.copies FOR EACH ROW WHEN (NEW.state = 'uploaded') EXECUTE FUNCTION cofre.hold()`);
    const isHeld = async (): Promise<boolean> => {
      const { rows } = await holder.query(`SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`);
      return rows.length > 0;
    };
    const copying = installation.json<RunResult>(['copy', backupId, '--to', 'offsite']);
    await until('the object is stored and not proven', isHeld);
    await installation.killWorkers();
    assert.deepEqual(
      (await archivesIn('offsite', backupId)).map((file) => basename(file)),
      ['database.tar'],
    );
    await holder.query('DROP TRIGGER hold ON cofre.copies');
    await holder.end();
    await installation.startWorker();
    assert.equal((await copying).state, 'complete');
    assert.equal((await copiesOf(backupId))['offsite'], 'verified');
  });

  it('a run that is cancelled while it waits for a destination leaves a debt, not a copy under way', async () => {
    const { backupId } = await installation.json<RunResult>(['backup', 'shop']);
    await away('offsite');
    try {
      const started = await installation.json<{ workflowId: string }>([
        ...['copy', backupId, '--to', 'offsite', '--no-follow'],
      ]);
      const run = client.workflow.getHandle(started.workflowId);
      await until('it waits', async () => (await needsOf(run)) === 'resource');
      await installation.cofre(['cancel', started.workflowId, '--yes']);
      await assert.rejects(run.result());
      assert.equal((await copiesOf(backupId))['offsite'], 'missing');
      assert.equal(await debts(), 2); // Of the copy that was damaged above, too.
    } finally {
      await back('offsite');
    }
  });

  it('a run whose time is over tells what it has not copied, and is not complete', async () => {
    const run = await client.workflow.start('copyBackups', {
      taskQueue: CONTROL_QUEUE,
      workflowId: 'copyBackups/shop/late',
      args: [{ environment: 'shop', to: ['offsite'], endsAt: new Date().toISOString() }],
    });
    const { state, copies } = (await run.result()) as { state: string; copies: { state: string }[] };
    assert.deepEqual([state, copies.map((copy) => copy.state)], ['incomplete', ['missing']]);
  });
});
