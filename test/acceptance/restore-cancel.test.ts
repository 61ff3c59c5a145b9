import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import { CancelledFailure } from '@temporalio/common';

import type { RestoreResult } from '../../workflows/restore-into.ts';
import { until } from '../until.ts';
import { HeldRestore } from './held-restore.ts';
import { Installation } from './installation.ts';

const ROWS = 500;

describe('a restore that is cancelled', () => {
  let installation: Installation;
  let held: HeldRestore;
  let backup: string;
  let rows: unknown;

  before(async () => {
    installation = await Installation.create([{ id: 'prod' }]);
    held = new HeldRestore(installation, 'prod', await installation.client());
    await installation.createEnvironmentDatabase('prod', held.sourceSql(ROWS));
    await installation.startWorker();
    const made = await installation.json<{ state: string; backupId: string }>(['backup', 'prod']);
    assert.equal(made.state, 'complete', JSON.stringify(made));
    backup = made.backupId;
    // What was entered since the backup tells the live database from the restored one.
    await held.sql(`INSERT INTO public.venda VALUES (-1, 'de hoje')`, held.live);
    rows = await held.liveRows();
  });
  after(async () => {
    await held.client.connection.close();
    await installation.remove();
  });

  /** The run ended as cancelled, and everything is as if it had never been started. */
  async function assertUndone(run: WorkflowHandle, oid: unknown): Promise<void> {
    await assert.rejects(
      run.result(),
      (error) => error instanceof WorkflowFailedError && error.cause instanceof CancelledFailure,
    );
    assert.equal(await held.liveOid(), oid);
    assert.deepEqual(await held.liveRows(), rows);
    await held.assertNothingLeft();
    assert.equal((await held.states())[0], 'cancelled');
    const { searchAttributes } = await run.describe();
    assert.deepEqual(searchAttributes['CofreNeeds'], ['nothing']);
  }

  it('case 95: while it waits for its turn: the live database is as it was, and nothing is left', async () => {
    const oid = await held.liveOid();
    const other = await held.client.workflow.start('holdEnvironment', {
      taskQueue: 'control',
      workflowId: 'op/prod',
      args: [{ environment: 'prod', holder: 'the test' }],
    });
    const run = await held.start(backup);
    await held.untilPhase(run, 'waiting');
    await run.cancel();
    await assert.rejects(run.result());
    await other.signal('release');
    await other.result();
    await assertUndone(run, oid);
  });

  it('case 95: in the middle of the load: the live database is as it was, and nothing is left', async () => {
    const oid = await held.liveOid();
    const letGo = await held.holdLoad();
    const run = await held.start(backup);
    await held.untilLoading();
    assert.deepEqual(await held.liveRows(), rows, 'the application works meanwhile');
    await run.cancel();
    await assert.rejects(run.result());
    await letGo();
    await assertUndone(run, oid);
  });

  it('case 95: what it cannot remove is told on its page, and the live database is as it was', async () => {
    const oid = await held.liveOid();
    const letGo = await held.holdLoad();
    const run = await held.start(backup);
    await held.untilLoading();
    // Somebody took the half-made database for their own: it is not the restore's to drop any more.
    const [taken = ''] = await held.loading();
    await held.sql(`COMMENT ON DATABASE "${taken}" IS 'mine'; ALTER DATABASE "${taken}" OWNER TO CURRENT_USER`);
    await run.cancel();
    await assert.rejects(run.result());
    await letGo();
    const page = await run.query<{ currentDetails: string }>('__temporal_workflow_metadata');
    assert.match(page.currentDetails, /The live database is as it was\. Not everything could be removed: /);
    assert.ok(page.currentDetails.includes('that this restore did not make'), page.currentDetails);
    await held.sql(`COMMENT ON DATABASE "${taken}" IS NULL`);
    await held.sql(`DROP DATABASE "${taken}" WITH (FORCE)`);
    await held.sql(`DROP ROLE cofre_restore_${taken.slice(-8)}`);
    await assertUndone(run, oid);
  });

  it('case 95: while the swap waits, visibly, for a prepared transaction: the live database is as it was, and nothing is left', async () => {
    const oid = await held.liveOid();
    const letGo = await held.holdSwap();
    const run = await held.start(backup);
    await held.untilPhase(run, 'waiting');
    const shown = await installation.cofre(['status']);
    assert.match(shown.stdout, /restoreDatabase +prod +waiting +resource/);
    assert.deepEqual(await held.liveRows(), rows, 'nobody is kept out of the live database by the waiting');
    await run.cancel();
    await assert.rejects(run.result());
    assert.equal(await held.liveOid(), oid);
    assert.deepEqual(await held.liveRows(), rows);
    await letGo();
    await assertUndone(run, oid);
  });

  /** Restored, whole and open, with the replaced database kept, closed; and it is said that the cancel came too late. */
  async function assertDone(run: WorkflowHandle, oid: unknown, told = true): Promise<void> {
    const result = (await run.result()) as RestoreResult;
    assert.equal(result.state, 'restored');
    if (told)
      assert.match(result.warnings.join(), /came too late, when the names were swapped already: the run was cancelled/);
    assert.notEqual(await held.liveOid(), oid);
    assert.deepEqual(await held.liveRows(), [ROWS]);
    const kept = await held.sql(
      `SELECT datname AS name, datallowconn AS open FROM pg_database WHERE oid = ${String(oid)}`,
    );
    assert.deepEqual(kept, [{ name: result.oldDatabase?.name, open: false }]);
    await held.assertNothingLeft();
    assert.equal((await held.states())[0], 'restored');
    const removal = held.client.workflow.getHandle(`dropOldDatabase/prod/${result.restoreId}`);
    assert.equal((await removal.describe()).status.name, 'RUNNING');
    rows = [ROWS];
  }

  it('case 95: after the swap and before its report: what is done is finished, and told as done', async () => {
    const oid = await held.liveOid();
    const swap = await held.holdSwap();
    const run = await held.start(backup);
    await held.untilPhase(run, 'swap');
    const report = await held.holdCatalog('servers');
    await swap();
    await until('the names are swapped', async () => (await held.liveOid()) !== oid);
    await run.cancel();
    assert.deepEqual(await held.liveRows(), [ROWS]);
    await report();
    await assertDone(run, oid);
  });

  it('case 95: after the swap, whose worker dies before its report: what is done is finished, and told as done', async () => {
    const oid = await held.liveOid();
    const swap = await held.holdSwap();
    const run = await held.start(backup);
    await held.untilPhase(run, 'swap');
    const report = await held.holdCatalog('servers');
    await swap();
    await until('the names are swapped', async () => (await held.liveOid()) !== oid);
    await installation.killWorkers();
    await run.cancel();
    await report();
    await installation.startWorker();
    await assertDone(run, oid);
  });

  it('case 95: while it cleans up: what is done is finished, and told as done', async () => {
    const oid = await held.liveOid();
    const end = await held.holdFinish();
    const run = await held.start(backup);
    await held.untilPhase(run, 'cleaning');
    await run.cancel();
    await end();
    await assertDone(run, oid, false);
  });
});
