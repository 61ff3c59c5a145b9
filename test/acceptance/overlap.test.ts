import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import type { Client } from '@temporalio/client';

import { holdTable } from './hold-table.ts';
import { Installation } from './installation.ts';
import { dumpsOf } from './running-tools.ts';
import { until } from '../until.ts';

interface Run {
  workflowId: string;
  workflow: string;
  state: string;
  phase: string;
  needs: string;
}

describe('two starts for one environment', () => {
  let installation: Installation;
  let client: Client;

  before(async () => {
    const nightly = { at: '04:00', timezone: 'UTC', run: 'backupDatabase' };
    installation = await Installation.create([{ id: 'one' }], { nightly });
    await installation.createEnvironmentDatabase('one', 'CREATE TABLE public.t AS SELECT 1 AS id');
    await installation.startWorker();
    client = await installation.client();
  });

  after(async () => {
    await client.connection.close();
    await installation.remove();
  });

  const runs = (): Promise<Run[]> => installation.json<Run[]>(['runs']);

  it('case 71: while a night goes on the next slots start none, and the status counts them', async () => {
    const release = await holdTable(installation.target('one'), 'public.t');
    assert.equal((await installation.cofre(['run', 'nightly', '--no-follow'])).code, 0);
    await until('the dump is under way', () => dumpsOf(installation, 'one').length > 0);
    // Two slots that come while it goes on: those of the last two days, as the schedule's own policy takes them.
    const schedule = client.schedule.getHandle('routine/nightly');
    await schedule.backfill({ start: new Date(Date.now() - 2 * 86_400_000), end: new Date() });
    await until('both were skipped', async () => (await schedule.describe()).info.numActionsSkippedOverlap === 2);
    assert.deepEqual(
      (await runs()).map(({ workflow }) => workflow).sort(),
      ['backupDatabase', 'runRoutine'],
      'no second night',
    );
    assert.equal(dumpsOf(installation, 'one').length, 1);
    const { stdout } = await installation.cofre(['status']);
    assert.match(stdout, /2 starts were skipped: the run before was still going on/);
    await release();
    const [night] = (await runs()).filter(({ workflow }) => workflow === 'runRoutine');
    assert.equal((await installation.cofre(['follow', night?.workflowId ?? ''])).code, 0);
    assert.equal((await installation.json<unknown[]>(['backups'])).length, 1);
  });

  it('case 72: a backup by hand during that of the night waits for it, and they dump one after the other', async () => {
    const release = await holdTable(installation.target('one'), 'public.t');
    assert.equal((await installation.cofre(['run', 'nightly', '--no-follow'])).code, 0);
    await until('the dump of the night is under way', () => dumpsOf(installation, 'one').length > 0);
    const byHand = installation.json<{ state: string; workflowId: string }>(['backup', 'one']);
    await until('the one by hand waits for its turn', async () =>
      (await runs()).some(({ needs, phase }) => phase === 'waiting' && needs === 'resource'),
    );
    assert.equal(dumpsOf(installation, 'one').length, 1);
    await release();
    const { state, workflowId } = await byHand;
    assert.equal(state, 'complete');
    const ids = (await runs()).filter(({ workflow }) => workflow === 'backupDatabase').map((run) => run.workflowId);
    const ofNight = ids.find((id) => id !== workflowId);
    const [first, second] = [await dumpTimes(ofNight ?? ''), await dumpTimes(workflowId)];
    assert.ok(first.ended <= second.started, `${JSON.stringify(first)} and ${JSON.stringify(second)}`);
  });

  async function dumpTimes(workflowId: string): Promise<{ started: number; ended: number }> {
    const { events } = await client.workflow.getHandle(workflowId).fetchHistory();
    const scheduled = events?.find(
      ({ activityTaskScheduledEventAttributes: of }) => of?.activityType?.name === 'dump',
    )?.eventId;
    const timeOf = (name: 'activityTaskStartedEventAttributes' | 'activityTaskCompletedEventAttributes'): number => {
      const time = events?.find((event) => String(event[name]?.scheduledEventId) === String(scheduled))?.eventTime;
      return Number(time?.seconds) * 1000 + Number(time?.nanos) / 1e6;
    };
    return {
      started: timeOf('activityTaskStartedEventAttributes'),
      ended: timeOf('activityTaskCompletedEventAttributes'),
    };
  }
});
