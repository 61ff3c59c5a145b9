import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { OwnTemporal } from '../own-temporal.ts';
import { until } from '../until.ts';
import { Installation } from './installation.ts';

/** Applying and stopping takes some seconds. */
const TIME_TO_STOP_MS = 12_000;
/** The least that Temporal takes; the configuration's least is a minute, and the test would take that longer. */
const SHORT_CATCH_UP_MS = 10_000;

describe('Temporal is down when routines should start', () => {
  let temporal: OwnTemporal;
  let installation: Installation;

  before(async () => {
    temporal = await OwnTemporal.start();
    installation = await Installation.create([{ id: 'one' }, { id: 'two' }], {}, (config) =>
      Object.assign(config['temporal'] as object, { address: temporal.address }),
    );
    for (const id of ['one', 'two'])
      await installation.createEnvironmentDatabase(id, 'CREATE TABLE public.t AS SELECT 1 AS id');
  });

  after(async () => {
    await installation.remove();
    await temporal.remove();
  });

  it('case 73: a start is made up for once, within catchUp; what was missed is in the status', async () => {
    const soon = Date.now() + TIME_TO_STOP_MS;
    const slot = new Date(Math.ceil(soon / 60_000) * 60_000);
    const routine = (name: string): object => ({
      ...{ at: slot.toISOString().slice(11, 16), timezone: 'UTC', run: 'backupDatabase', catchUp: '1h' },
      environments: { names: [name] },
    });
    Object.assign(installation.config, { routines: { short: routine('one'), long: routine('two') } });
    await installation.writeConfig();
    const applied = await installation.cofre(['apply', '--yes']);
    assert.equal(applied.code, 0, applied.stderr);
    await changeCatchUp('short', SHORT_CATCH_UP_MS);
    await temporal.kill();
    assert.ok(Date.now() < slot.getTime(), 'it was stopped before the slot');

    await sleep(slot.getTime() + SHORT_CATCH_UP_MS + 1_000 - Date.now());
    await temporal.start();
    await installation.startWorker();
    await until('the night was made up for', async () => (await backups()).some(({ state }) => state === 'complete'));
    // Once: not again after another outage.
    await temporal.kill();
    await temporal.start();
    await until('the status counts what was missed', async () =>
      /short .*1 start was missed: Temporal was down for longer than catchUp/.test(
        (await installation.cofre(['status'])).stdout,
      ),
    );
    assert.doesNotMatch((await installation.cofre(['status'])).stdout, /long .*missed/);
    assert.deepEqual(
      (await backups()).map(({ environment }) => environment),
      ['two'],
    );
  });

  function backups(): Promise<{ environment: string; state: string }[]> {
    return installation.json(['backups']);
  }

  async function changeCatchUp(name: string, catchupWindow: number): Promise<void> {
    const client = await installation.client();
    try {
      const handle = client.schedule.getHandle(`routine/${name}`);
      await handle.update(({ policies, ...schedule }) => ({ ...schedule, policies: { ...policies, catchupWindow } }));
      await until('it is changed', async () => (await handle.describe()).info.lastUpdatedAt !== undefined);
    } finally {
      await client.connection.close();
    }
  }
});
