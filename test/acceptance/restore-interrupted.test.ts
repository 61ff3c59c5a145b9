import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';

import { WorkflowExecutionAlreadyStartedError, type Client, type WorkflowHandle } from '@temporalio/client';

import type { RestoreResult } from '../../workflows/restore-into.ts';
import { until } from '../until.ts';
import { HeldRestore } from './held-restore.ts';
import { Installation } from './installation.ts';

const ROWS = 20_000;

describe('a restore that is interrupted, or started twice', () => {
  let installation: Installation;
  let client: Client;
  const held = new Map<string, HeldRestore>();
  const backups = new Map<string, string>();

  before(async () => {
    installation = await Installation.create([{ id: 'staged' }, { id: 'streamed', pipeline: 'streamed' }]);
    client = await installation.client();
    await installation.startWorker();
    for (const id of ['staged', 'streamed']) {
      const environment = new HeldRestore(installation, id, client);
      await installation.createEnvironmentDatabase(id, environment.sourceSql(ROWS));
      const made = await installation.json<{ state: string; backupId: string }>(['backup', id]);
      assert.equal(made.state, 'complete', JSON.stringify(made));
      held.set(id, environment);
      backups.set(id, made.backupId);
      await environment.sql(`INSERT INTO public.venda VALUES (-1, 'de hoje')`, environment.live);
    }
  });
  after(async () => {
    await client.connection.close();
    await installation.remove();
  });

  const the = <T>(found: T | undefined): T => {
    assert.ok(found !== undefined);
    return found;
  };

  /** pg_restore's processes for this environment's new database. */
  function pgRestores({ live }: HeldRestore): number[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => {
        try {
          return (
            readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`PGDATABASE=${live}__restore_`) &&
            readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith('pg_restore')
          );
        } catch {
          return false;
        }
      });
  }

  async function oidOf(environment: HeldRestore): Promise<unknown> {
    const [name] = await environment.loading();
    return (await environment.sql(`SELECT oid::int FROM pg_database WHERE datname = '${name}'`))[0]?.['oid'];
  }

  async function assertRestored(environment: HeldRestore, runs: readonly WorkflowHandle[]): Promise<void> {
    for (const run of runs) assert.equal(((await run.result()) as RestoreResult).state, 'restored');
    assert.deepEqual(await environment.liveRows(), [ROWS], 'each row is there, and once');
    await environment.assertNothingLeft();
  }

  for (const id of ['staged', 'streamed']) {
    it(`case 85: ${id}: pg_restore is killed in the middle: loaded again from nothing, and the live database works on meanwhile`, async () => {
      const environment = the(held.get(id));
      const before = await environment.liveRows();
      const letGo = await environment.holdLoad();
      const run = await environment.start(the(backups.get(id)));
      await environment.untilLoading();
      const first = await oidOf(environment);
      for (const pid of pgRestores(environment)) process.kill(pid, 'SIGKILL');
      await until('another database is loaded', async () => {
        const oid = await oidOf(environment);
        return oid !== undefined && oid !== first;
      });
      assert.deepEqual(await environment.liveRows(), before);
      const gone = await environment.sql(`SELECT FROM pg_database WHERE oid = ${String(first)}`);
      assert.equal(gone.length, 0, 'the half-loaded one is dropped');
      await letGo();
      await assertRestored(environment, [run]);
    });
  }

  it('case 85: pg_restore is killed every time: the run gives up at the fifth, and the live database is as it was', async () => {
    const environment = the(held.get('streamed'));
    const [oid, rows] = [await environment.liveOid(), await environment.liveRows()];
    const letGo = await environment.holdLoad();
    const run = await environment.start(the(backups.get('streamed')));
    const seen = new Set<unknown>();
    while (seen.size < 5) {
      let loading: unknown;
      await until('another database is loaded', async () => {
        loading = await oidOf(environment);
        return loading !== undefined && !seen.has(loading);
      });
      seen.add(loading);
      for (const pid of pgRestores(environment)) process.kill(pid, 'SIGKILL');
    }
    await assert.rejects(run.result(), (error: Error & { cause?: { type?: string } }) => {
      assert.equal(error.cause?.type, 'killed');
      return true;
    });
    await letGo();
    assert.deepEqual([await environment.liveOid(), await environment.liveRows()], [oid, rows]);
    await environment.assertNothingLeft();
  });

  it('case 85: the worker is killed in the middle: its successor loads again from nothing, and the live database works on meanwhile', async () => {
    const environment = the(held.get('staged'));
    await environment.sql(`INSERT INTO public.venda VALUES (-1, 'de hoje')`, environment.live);
    const before = await environment.liveRows();
    const letGo = await environment.holdLoad();
    const run = await environment.start(the(backups.get('staged')));
    await environment.untilLoading();
    const first = await oidOf(environment);
    const orphans = pgRestores(environment);
    await installation.killWorkers();
    assert.deepEqual(await environment.liveRows(), before);
    await installation.startWorker();
    await until('its tools are gone', () => !pgRestores(environment).some((pid) => orphans.includes(pid)));
    await until('another database is loaded', async () => {
      const oid = await oidOf(environment);
      return oid !== undefined && oid !== first;
    });
    await letGo();
    await assertRestored(environment, [run]);
  });

  it('case 86: started twice: the second waits for its turn and loads a database of its own; no row is there twice', async () => {
    const environment = the(held.get('staged'));
    const backup = the(backups.get('staged'));
    const letGo = await environment.holdLoad();
    const first = await environment.start(backup, 'twice');
    await assert.rejects(environment.start(backup, 'twice'), WorkflowExecutionAlreadyStartedError);
    await environment.untilLoading();
    const second = await environment.start(backup, 'twice, by another click');
    await environment.untilPhase(second, 'waiting');
    assert.equal((await environment.loading()).length, 1);
    const before = await environment.liveOid();
    await letGo();
    await assertRestored(environment, [first, second]);
    const kept = await environment.sql(
      `SELECT oid::int FROM pg_database WHERE datname LIKE '${environment.live}\\_\\_old\\_%' AND NOT datallowconn`,
    );
    assert.ok(
      kept.some(({ oid }) => oid === before),
      'what the first one replaced is kept',
    );
    assert.deepEqual((await environment.states()).slice(0, 2), ['restored', 'restored']);
  });
});
