import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { ChildProcess } from 'node:child_process';

import { OwnTemporal } from '../own-temporal.ts';
import { until } from '../until.ts';
import { holdTable } from './hold-table.ts';
import { Installation } from './installation.ts';
import { dumpsOf, runningTools } from './running-tools.ts';

interface Backup {
  id: string;
  environment: string;
  state: string;
  error?: { code: string };
}

const ENVIRONMENTS = ['one', 'three', 'two'];

/** `HH:MM` in UTC, some minutes ago: a slot whose window is open. */
function minutesAgo(minutes: number): string {
  return new Date(Date.now() - minutes * 60_000).toISOString().slice(11, 16);
}

describe('Temporal is lost with all its data in the middle of a night', () => {
  let temporal: OwnTemporal;
  let installation: Installation;
  let worker: ChildProcess;

  before(async () => {
    temporal = await OwnTemporal.start();
    const nightly = { at: minutesAgo(3), timezone: 'UTC', run: 'backupDatabase', atOnce: 1 };
    installation = await Installation.create(
      ENVIRONMENTS.map((id) => ({ id })),
      { nightly },
      (config) => Object.assign(config['temporal'] as object, { address: temporal.address }),
    );
    for (const id of ENVIRONMENTS)
      await installation.createEnvironmentDatabase(id, 'CREATE TABLE public.t AS SELECT 1 AS id');
    worker = await installation.startWorker();
  });

  after(async () => {
    await installation.remove();
    await temporal.remove();
  });

  it('case 127: a new one, `cofre apply`, and the night is finished: one complete backup of each environment', async () => {
    // The second of the night stands still in its dump for as long as the test needs.
    const release = await holdTable(installation.target('three'), 'public.t');
    assert.equal((await installation.cofre(['run', 'nightly', '--no-follow'])).code, 0);
    await until('the second dump is under way', () => dumpsOf(installation, 'three').length > 0);
    const [dump] = dumpsOf(installation, 'three');

    await temporal.kill();
    await temporal.lose();
    await temporal.start();
    await installation.createNamespace();
    const applied = await installation.cofre(['apply', '--yes', '--force']);
    assert.equal(applied.code, 0, applied.stderr);
    assert.match(
      applied.stderr,
      /run nightly now for what has no backup since .*: 2 of its environments \(three, two\)/,
    );
    assert.match(
      applied.stderr,
      /closed the backup \S+ of three: no run owns this any more: Temporal has lost its run/,
    );
    assert.match(applied.stderr, /started runRoutine\/nightly/);

    await until('the lost run has ended its tools', () => !dumpsOf(installation, 'three').includes(dump ?? 0));
    await release();
    const night = await installation.cofre(['follow', 'runRoutine/nightly']);
    assert.equal(night.code, 0, night.stderr);
    assert.equal(worker.exitCode, null, 'the worker has lived through it');

    const backups = await installation.json<Backup[]>(['backups']);
    const states = (environment: string): string[] =>
      backups.filter((backup) => backup.environment === environment).map(({ state }) => state);
    assert.deepEqual(states('one'), ['complete']);
    assert.deepEqual(states('three').sort(), ['complete', 'failed']);
    assert.deepEqual(states('two'), ['complete']);
    for (const environment of ENVIRONMENTS) {
      assert.equal((await readdir(join(installation.backups, environment))).length, 1, environment);
      assert.deepEqual(await readdir(join(installation.spool, environment)), [], environment);
    }
    assert.deepEqual(runningTools(installation), []);

    await installation.dropDatabase('one');
    assert.equal((await installation.json<{ state: string }>(['ensure', 'one'])).state, 'restored');
  });
});
