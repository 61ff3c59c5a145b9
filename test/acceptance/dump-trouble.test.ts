import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import type { Client } from '@temporalio/client';
import { pino } from 'pino';

import { loadConnection } from '../../config/load.ts';
import { openClient, withClient } from '../../postgres/connect.ts';
import type { RunningWorker } from '../../workers/running.ts';
import { startWorker } from '../../workers/worker.ts';
import { FaultProxy } from '../fault-proxy.ts';
import { testServers } from '../servers.ts';
import { until } from '../until.ts';
import { Installation } from './installation.ts';

interface RunResult {
  state: string;
  backupId: string;
  workflowId: string;
  error?: { code: string; message: string };
}

/** Half of it is how long a dump waits for a lock. */
const STALL_MS = 8_000;
const TABLES = 1_000;
const PIPELINES = ['staged', 'streamed'] as const;

describe('trouble in the middle of a dump', () => {
  let installation: Installation;
  let proxy: FaultProxy;
  let worker: RunningWorker;
  let client: Client;

  before(async () => {
    proxy = await FaultProxy.start(testServers().postgres);
    const environments = [{ id: 'gone' }, { id: 'denied' }, { id: 'locked' }, { id: 'many' }, { id: 'staged' }];
    installation = await Installation.create(
      [...environments, { id: 'streamed', pipeline: 'streamed' }],
      {},
      (config) => {
        const servers = config['servers'] as Record<string, Record<string, unknown>>;
        const pg = servers['pg']!;
        servers['far'] = { ...pg, port: proxy.port };
        servers['shut'] = {
          ...pg,
          backup: { user: testServers().postgres.user, password: 'env:COFRE_TEST_WRONG_PASSWORD' },
        };
        const places = config['environments'] as Record<string, { database: Record<string, unknown> }>;
        places['denied']!.database['server'] = 'shut';
        for (const pipeline of PIPELINES) places[pipeline]!.database['server'] = 'far';
      },
    );
    process.env['COFRE_TEST_WRONG_PASSWORD'] = 'wrong';
    const notes = (count: number) =>
      `CREATE TABLE public.notes AS SELECT g AS id, repeat(md5(g::text), 10) AS body FROM generate_series(1, ${count}) g`;
    await installation.createEnvironmentDatabase('denied', notes(1));
    // More than all buffers between the server and pg_dump hold, so that the server is in the middle of it, too.
    for (const id of PIPELINES) await installation.createEnvironmentDatabase(id, notes(80_000));
    await installation.createEnvironmentDatabase(
      'locked',
      'CREATE TABLE public.first (id int); CREATE TABLE public.second (id int)',
    );
    await installation.createEnvironmentDatabase(
      'many',
      `DO $$ BEGIN FOR n IN 1..${TABLES} LOOP EXECUTE 'CREATE TABLE public.t' || n || ' AS SELECT 1 AS a'; END LOOP; END $$`,
    );
    // In this process, because how long a tool may stand still is no setting of the command line.
    const connection = await loadConnection(join(installation.folder, 'cofre.yaml'));
    worker = await startWorker({ connection, host: 'h1', log: pino({ level: 'silent' }), stallMs: STALL_MS });
    client = await installation.client();
  });

  after(async () => {
    worker.stop();
    await worker.stopped;
    await client.connection.close();
    await proxy.stop();
    await installation.remove();
  });

  /** What the attempts of a run's dump failed for, but for the last one that ended well. */
  async function failuresOf({ workflowId }: RunResult, activity: string): Promise<{ code: string; message: string }[]> {
    const { events = [] } = await client.workflow.getHandle(workflowId).fetchHistory();
    const scheduled = events?.find(
      ({ activityTaskScheduledEventAttributes: one }) => one?.activityType?.name === activity,
    );
    const started = events?.find(
      ({ activityTaskStartedEventAttributes: one }) =>
        one?.scheduledEventId?.toString() === scheduled?.eventId?.toString(),
    )?.activityTaskStartedEventAttributes;
    const { attempt = 0, lastFailure } = started ?? {};
    if (lastFailure == null) return [];
    const last = { code: lastFailure.applicationFailureInfo?.type ?? '', message: lastFailure.message ?? '' };
    return Array.from({ length: (attempt ?? 1) - 1 }, () => last);
  }

  async function nothingIsLeftOf(environment: string): Promise<void> {
    assert.deepEqual(await readdir(join(installation.spool, environment)).catch(() => []), []);
    assert.deepEqual(await readdir(join(installation.backups, environment)).catch(() => []), []);
  }

  for (const [environment, code] of [
    ['gone', 'database-missing'],
    ['denied', 'server-denied'],
  ] as const) {
    it(`case 1: ${code}: the run fails at once, and nothing is written or sent`, async () => {
      const failed = await installation.json<RunResult>(['backup', environment]);
      assert.deepEqual([failed.state, failed.error?.code], ['failed', code], JSON.stringify(failed));
      assert.doesNotMatch(failed.error?.message ?? '', /wrong/);
      assert.deepEqual(await failuresOf(failed, 'checkBackup'), [], 'it was not tried again');
      await nothingIsLeftOf(environment);
    });
  }

  /** Runs a backup, does something when half of the rows have come and no more come, and gives what came of it. */
  async function disturbed(environment: string, disturb: () => Promise<void>): Promise<RunResult> {
    const known = await readdir(join(installation.backups, environment)).catch(() => []);
    // More than the preflight looks at, and less than there is.
    proxy.stallAfter(4_000_000);
    const backup = installation.json<RunResult>(['backup', environment]);
    await until('rows stop coming', () => proxy.stalled);
    const [attempt] = await attemptsIn(environment);
    assert.match(attempt ?? '', /^a1-/);
    assert.deepEqual(await readdir(join(installation.backups, environment)).catch(() => []), known, 'nothing was sent');
    await disturb();
    proxy.restore();
    await until('what it had written is gone', async () => !(await attemptsIn(environment)).includes(attempt ?? ''));
    const result = await backup;
    assert.equal(result.state, 'complete', JSON.stringify(result));
    const [folder, ...others] = await readdir(join(installation.backups, environment, result.backupId));
    assert.match(folder ?? '', /^a2-/, 'a new attempt has a new name');
    assert.deepEqual(others, ['manifest.json'], 'of the first attempt nothing was sent');
    assert.deepEqual(await attemptsIn(environment), []);
    return result;
  }

  async function attemptsIn(environment: string): Promise<string[]> {
    const names = await readdir(join(installation.spool, environment), { recursive: true }).catch(() => []);
    return names.flatMap((name) => /\/(a[0-9]+-[0-9a-f]+)$/.exec(name)?.[1] ?? []);
  }

  for (const pipeline of PIPELINES) {
    it(`case 2: a pg_dump that is killed in the middle (${pipeline}) is told by the signal, and the dump is made again`, async () => {
      const result = await disturbed(pipeline, async () => {
        const [leader] = pgDumpsOf(installation.database(pipeline));
        process.kill(leader ?? Number.NaN, 'SIGKILL');
        await until('it and its processes are gone', () => pgDumpsOf(installation.database(pipeline)).length === 0);
      });
      const [failure, ...more] = await failuresOf(result, 'dump');
      assert.deepEqual([failure?.code, more.length], ['killed', 0], failure?.message);
      assert.match(failure?.message ?? '', /pg_dump ended by SIGKILL/);
    });

    it(`case 3: a session that the server ends in the middle of the rows (${pipeline}) is one more try`, async () => {
      const result = await disturbed(pipeline, async () => {
        const ended = await withClient(installation.admin, (admin) =>
          admin.query(
            `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND state = 'active' AND query LIKE 'COPY %'`,
            [installation.database(pipeline)],
          ),
        );
        assert.equal(ended.rows.length, 1);
      });
      const [failure, ...more] = await failuresOf(result, 'dump');
      assert.deepEqual([failure?.code, more.length], ['server-unavailable', 0], failure?.message);
    });
  }

  it('case 5: a locked table is tried again, leaves nothing, and others wait behind us no longer than we wait', async () => {
    const target = installation.target('locked');
    const [ddl, production] = [await openClient(target), await openClient(target)];
    try {
      await ddl.query('BEGIN; LOCK TABLE public.second IN ACCESS EXCLUSIVE MODE');
      const backup = installation.json<RunResult>(['backup', 'locked']);
      const waits = async (): Promise<boolean> => {
        const { rows } = await withClient(installation.admin, (admin) =>
          admin.query(
            `SELECT FROM pg_stat_activity WHERE datname = $1 AND wait_event_type = 'Lock' AND query LIKE 'LOCK TABLE%'`,
            [target.database],
          ),
        );
        return rows.length > 0;
      };
      await until('the dump waits for the second table', waits);
      const began = performance.now();
      await production.query('ALTER TABLE public.first ADD COLUMN added int');
      const waitedMs = performance.now() - began;
      assert.ok(waitedMs < STALL_MS, `production waited ${Math.round(waitedMs)} ms behind the dump`);
      await until('what the dump had begun is gone', async () => (await attemptsIn('locked')).length === 0);
      await until('the dump tries again', waits);
      await ddl.query('ROLLBACK');
      const result = await backup;
      assert.equal(result.state, 'complete', JSON.stringify(result));
      const failures = await failuresOf(result, 'dump');
      assert.ok(failures.length >= 1);
      assert.equal(failures[0]?.code, 'database-locked');
    } finally {
      await ddl.end();
      await production.end();
    }
  });

  it('case 18: a run over very many tables has no larger history than any other', async () => {
    const result = await installation.json<RunResult>(['backup', 'many']);
    assert.equal(result.state, 'complete', JSON.stringify(result));
    const { historySize } = await client.workflow.getHandle(result.workflowId).describe();
    assert.ok(historySize !== undefined && historySize < 50_000, `${historySize} bytes`);
    // All of them are in the archive all the same.
    const [attempt] = await readdir(join(installation.backups, 'many', result.backupId));
    const archive = join(installation.backups, 'many', result.backupId, attempt ?? '', 'database.tar');
    const members = execFileSync('tar', ['--list', `--file=${archive}`], { encoding: 'utf8' }).split('\n');
    assert.equal(members.filter((name) => /^\d+\.dat/.test(name)).length, TABLES);
  });
});

/** The leader first: its processes have higher numbers. */
function pgDumpsOf(database: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const isDump = readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === 'pg_dump';
        return isDump && readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`PGDATABASE=${database}\0`);
      } catch {
        return false;
      }
    })
    .sort((a, b) => a - b);
}
