import assert from 'node:assert/strict';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ChildProcess } from 'node:child_process';

import type { Client, WorkflowHandle } from '@temporalio/client';

import { SILENT_STEP_MS } from '../../workflows/time-limits.ts';
import { isLong } from '../long.ts';
import { OwnTemporal } from '../own-temporal.ts';
import { until } from '../until.ts';
import { HeldRestore } from './held-restore.ts';
import { holdTable } from './hold-table.ts';
import { Installation } from './installation.ts';
import { dumpsOf, runningTools } from './running-tools.ts';

interface RunResult {
  state: string;
  workflowId: string;
  runId: string;
  backupId: string;
}

const OUTAGE_MS = isLong ? 75_000 : 500;
/** A step that is killed so often ends, and one that was cut off does not. */
const KILLS_OF_A_STEP = 5;
/** Of a pending activity: a worker took it. */
const STARTED = 2;

describe('Temporal is killed and started again while runs work', () => {
  let temporal: OwnTemporal;
  let installation: Installation;
  let client: Client;
  let worker: ChildProcess;
  let held: HeldRestore;

  before(async () => {
    temporal = await OwnTemporal.start();
    installation = await Installation.create([{ id: 'one' }, { id: 'two' }], {}, (config) =>
      Object.assign(config['temporal'] as object, { address: temporal.address }),
    );
    client = await installation.client();
    held = new HeldRestore(installation, 'two', client);
    await installation.createEnvironmentDatabase(
      'one',
      'CREATE TABLE public.t AS SELECT generate_series(1, 1000) AS id',
    );
    await installation.createEnvironmentDatabase('two', held.sourceSql(1_000));
    await mkdir(join(installation.backups, 'one'), { recursive: true });
    worker = await installation.startWorker();
  });

  after(async () => {
    await client.connection.close();
    await installation.remove();
    await temporal.remove();
  });

  it('case 125: in every step of one backup: it goes on, and nothing is dumped or sent twice', async () => {
    const release = await holdTable(installation.target('one'), 'public.t');
    const run = await installation.json<RunResult>(['backup', 'one', '--no-follow']);
    await until('the dump is under way', () => dumpsOf(installation, 'one').length > 0);
    const spooled = join(installation.spool, 'one');
    const stored = join(installation.backups, 'one');

    await temporal.kill();
    await release();
    await until('the dump has ended meanwhile', () => find(spooled, 'dump.json') !== undefined);
    await back(killAtThe('archive', () => find(spooled, 'database.tar') !== undefined));
    await back(killAtThe('object in the destination', () => find(stored, 'database.tar') !== undefined));
    await back(killAtThe('manifest', () => find(stored, 'manifest.json') !== undefined));
    const object = statSync(find(stored, 'database.tar') ?? '');
    await back(killAtThe('removal of the local files', () => readdirSync(spooled).length === 0));
    await temporal.start();

    const end = await installation.json<RunResult>(['follow', run.workflowId]);
    assert.equal(end.state, 'complete', JSON.stringify(end));
    const [row, ...more] = await installation.json<{ id: string; copies: { state: string }[] }[]>(['backups', 'one']);
    assert.deepEqual([row?.id, row?.copies.map(({ state }) => state), more], [end.backupId, ['verified'], []]);
    const [attempt, ...others] = await readdir(join(stored, end.backupId));
    assert.match(attempt ?? '', /^a1-/, 'the answer of the dump came through');
    assert.deepEqual(others, ['manifest.json']);
    const { ino, mtimeMs } = statSync(find(stored, 'database.tar') ?? '');
    assert.deepEqual({ ino, mtimeMs }, { ino: object.ino, mtimeMs: object.mtimeMs }, 'it was sent once');
    assert.deepEqual(await readdir(spooled), []);
    assert.equal(worker.exitCode, null, 'the worker has lived through it');

    /** Temporal is back, until what is awaited next happens. */
    async function back(killed: Promise<void>): Promise<void> {
      await sleep(OUTAGE_MS);
      await temporal.start();
      await killed;
    }
  });

  it('case 125: away for longer than a step may be silent, in a dump and in a load: both are finished, once', async () => {
    const { backupId } = await installation.json<RunResult>(['backup', 'two']);
    const releaseLoad = await held.holdLoad();
    const restore = await held.start(backupId);
    await held.untilLoading();
    const releaseDump = await holdTable(installation.target('one'), 'public.t');
    const backup = await installation.json<RunResult>(['backup', 'one', '--no-follow']);
    await until('the dump is under way', () => dumpsOf(installation, 'one').length > 0);

    const runs = [restore, client.workflow.getHandle(backup.workflowId)];
    let tries: number;
    do {
      await temporal.kill();
      await sleep(SILENT_STEP_MS + 1_000);
      const back = Date.now();
      await temporal.start();
      tries = isLong ? await triesOf(runs, back) : 1;
    } while (isLong && tries <= KILLS_OF_A_STEP);
    await Promise.all([releaseLoad(), releaseDump()]);

    const end = await installation.json<RunResult>(['follow', backup.workflowId]);
    assert.equal(end.state, 'complete', JSON.stringify(end));
    await restore.result();
    assert.deepEqual(await held.states(), ['restored']);
    assert.deepEqual(await held.liveRows(), [1_000]);
    await held.assertNothingLeft();
    assert.equal(
      (await readdir(join(installation.backups, 'one', end.backupId))).length,
      2,
      'one attempt, the manifest',
    );
    assert.deepEqual(await readdir(join(installation.spool, 'one')), []);
    assert.deepEqual(runningTools(installation), []);
    assert.equal(worker.exitCode, null, 'the worker has lived through it');
  });

  /**
   * As soon as it is seen, and Temporal runs: a step that Temporal had handed out before it was killed may do the next
   * thing while Temporal is away. Looks itself: a watch of folders that are new misses what comes into them at once.
   */
  async function killAtThe(what: string, happened: () => boolean): Promise<void> {
    const deadline = Date.now() + OUTAGE_MS + 60_000;
    while (!temporal.isStarted || !happened()) {
      assert.ok(Date.now() < deadline, `the ${what} came`);
      await sleep(2);
    }
    await temporal.kill();
  }
});

/** How often the long step of each run was tried at least, when all of them beat again after `since`. */
async function triesOf(runs: readonly WorkflowHandle[], since: number): Promise<number> {
  let tries = 0;
  await until('the steps beat again', async () => {
    const descriptions = await Promise.all(runs.map((run) => run.describe()));
    const steps = descriptions.map(({ raw }) => raw.pendingActivities?.[0]);
    tries = Math.min(...steps.map((step) => step?.attempt ?? 0));
    return steps.every(
      (step) => step?.state === STARTED && Number(step.lastHeartbeatTime?.seconds ?? 0) * 1_000 > since,
    );
  });
  return tries;
}

/** The path of the one file of this name in a folder. */
function find(folder: string, name: string): string | undefined {
  if (!existsSync(folder)) return undefined;
  let names: string[];
  try {
    names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  } catch {
    return undefined; // a folder in it has just been removed
  }
  const found = names.find((path) => basename(path) === name);
  return found === undefined ? undefined : join(folder, found);
}
