import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';

import type { WorkflowHandle } from '@temporalio/client';

import { openClient, withClient } from '../../postgres/connect.ts';
import { assertHostClean, assertNothingLeft, assertSpoolEmpty, toolsOf, visibleBackups } from '../crash/aftermath.ts';
import { endOf } from '../crash/scenarios.ts';
import { CrashSite } from '../crash/site.ts';
import { until } from '../until.ts';

/** What a service manager waits at least between SIGTERM and SIGKILL. */
const STOPS_WITHIN_MS = 30_000;

describe('a worker that is told to stop', () => {
  let site: CrashSite;

  before(async () => {
    site = await CrashSite.create({ staged: 1, streamed: 1, debt: 0, new: 0 });
  });

  after(() => site.remove());

  /** Cofre's sessions in the databases of the environment, whatever they are called; the test's own are not. */
  async function sessions(environment: string): Promise<string[]> {
    const { database } = site.target(environment);
    const { rows } = await withClient(site.server, (client) =>
      client.query<{ what: string }>(
        `SELECT application_name || ': ' || coalesce(wait_event_type, state) AS what FROM pg_stat_activity
          WHERE (datname = $1 OR starts_with(datname, $1 || '__')) AND application_name <> 'test'`,
        [database],
      ),
    );
    return rows.map(({ what }) => what);
  }

  async function stop(worker: ChildProcess): Promise<void> {
    const startedAt = performance.now();
    const ended = once(worker, 'exit');
    worker.kill('SIGTERM');
    assert.deepEqual(await ended, [0, null], 'it ends by itself, and well');
    assert.ok(performance.now() - startedAt < STOPS_WITHIN_MS, 'it takes no longer than a service manager waits');
    assert.deepEqual(toolsOf(site), [], 'its tools have ended with it');
  }

  async function assertGoesOn(environment: string, run: WorkflowHandle, ends: string): Promise<void> {
    const next = await site.workers.start();
    assert.equal(await endOf(site, environment, run), ends);
    await assertNothingLeft(site, environment);
    await site.installation.endWorker(next, 'SIGTERM');
    await assertHostClean(site);
    await assertSpoolEmpty(site.installation.spool, [environment]);
  }

  for (const pipeline of ['staged', 'streamed'] as const) {
    it(`case 121: SIGTERM during a ${pipeline} dump ends pg_dump and its locks at once, and the next worker goes on`, async (context) => {
      const [environment = ''] = site.environments[pipeline];
      const worker = await site.workers.start();
      // A migration holds a table, so pg_dump waits in its middle, with the locks of other tables in its hands.
      const migration = await openClient(site.target(environment));
      context.after(() => migration.end());
      await migration.query(`SET application_name = 'test'; BEGIN; LOCK TABLE vendas.cliente IN ACCESS EXCLUSIVE MODE`);
      const run = await site.startRun('backupDatabase', environment, { environment });
      await until('pg_dump waits', async () => (await sessions(environment)).includes('cofre: Lock'));
      await stop(worker);
      await until('nobody of ours is on the server', async () => (await sessions(environment)).length === 0, 5_000);
      await migration.query('ROLLBACK');
      await assertGoesOn(environment, run, 'complete');
      assert.equal((await visibleBackups(site, environment)).length, 1);
    });
  }

  it('case 121: SIGTERM during a load leaves no half-made database, and the next worker goes on', async () => {
    const [environment = ''] = site.environments.staged;
    const worker = await site.workers.start();
    await withClient(site.target(environment), (client) => client.query(SLOW_TABLE));
    assert.equal(
      await endOf(site, environment, await site.startRun('backupDatabase', environment, { environment })),
      'complete',
    );
    await site.dropDatabase(environment);
    const run = await site.startRun('ensureDatabase', environment, { environment });
    await until('pg_restore is in its middle', async () => (await sessions(environment)).includes('cofre: Timeout'));
    await stop(worker);
    await until('nobody of ours is on the server', async () => (await sessions(environment)).length === 0, 5_000);
    assert.equal(await site.look(environment), 'missing', 'nothing half-made has the live name');
    await assertGoesOn(environment, run, 'restored');
    assert.equal(await site.look(environment), 'original');
  });
});

/** Takes five seconds to load: each row is checked by a function that waits. */
const SLOW_TABLE = `
  CREATE FUNCTION public.devagar(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN true; END';
  CREATE TABLE public.lento (i int CHECK (public.devagar(i)));
  INSERT INTO public.lento SELECT generate_series(1, 500);
  CREATE OR REPLACE FUNCTION public.devagar(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM pg_sleep(0.01); RETURN true; END'`;
