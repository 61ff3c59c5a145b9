import assert from 'node:assert/strict';
import { cp, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';

import { finishBackup } from '../../catalog/backups.ts';
import { currentConfiguration } from '../../catalog/configurations.ts';
import { applyConfig, type ApplyOutcome } from '../../cli/apply.ts';
import { carryOut } from '../../cli/apply/carry-out.ts';
import { planApply } from '../../cli/apply/plan.ts';
import { describeRoutine, managedRoutines } from '../../cli/apply/schedules.ts';
import { loadConfig } from '../../config/load.ts';
import { CofreError } from '../../errors/error.ts';
import { BackupRows } from '../catalog/backup-rows.ts';
import { Installation, type ConfigFile } from './installation.ts';

const QUIET = { json: false, quiet: true, follow: false, yes: true };

let here: Installation;
let config: ConfigFile;

before(async () => {
  here = await Installation.create();
});
after(async () => {
  await here.remove();
});

async function apply(changes: { path?: string; remove?: boolean; force?: boolean } = {}): Promise<ApplyOutcome> {
  const configPath = changes.path ?? here.configPath;
  return await applyConfig(here.client, QUIET, {
    configPath,
    loaded: await loadConfig(configPath),
    host: undefined,
    remove: changes.remove ?? false,
    force: changes.force ?? false,
  });
}

function refusedFor(pattern: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof CofreError && error.code === 'refused' && pattern.test(error.message);
}

/** The next times at which a routine starts, as clocks show them there. */
async function nextStarts(routine: string, timezone: string): Promise<string[]> {
  const found = await describeRoutine(here.client, routine);
  const clock = new Intl.DateTimeFormat('en-GB', {
    timeZone: timezone,
    weekday: 'short',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
  });
  return (found?.info.nextActionTimes ?? []).slice(0, 8).map((time) => clock.format(time));
}

describe('cofre apply', () => {
  beforeEach(() => {
    config = here.config();
  });

  test('the first time makes the catalog, the search attributes, the folder, version 1 and the schedule', async () => {
    const outcome = await apply();
    assert.equal(outcome.changed, true);
    assert.equal(outcome.version, 1);
    const plan = outcome.steps.join('\n');
    for (const words of [
      'make the catalog',
      'CofreEnvironment',
      'prepare the folder',
      'version 1',
      'new environment: acme-prod',
      'create the schedule of nightly',
    ]) {
      assert.match(plan, new RegExp(words));
    }
    const found = await describeRoutine(here.client, 'nightly');
    assert.equal(found?.action.workflowType, 'runRoutine');
    assert.equal(found?.action.taskQueue, 'control');
    assert.deepEqual(found?.action.args, [{ routine: 'nightly' }]);
    assert.equal(found?.policies.overlap, 'SKIP');
    assert.equal(found?.policies.catchupWindow, 6 * 3_600_000);
    assert.equal(found?.policies.pauseOnFailure, false);
    assert.equal((await currentConfiguration(await here.openCatalog())).version, 1);
  });

  test('the second time there is nothing to do', async () => {
    const outcome = await apply();
    assert.deepEqual(outcome, { changed: false, applied: true, version: 1, steps: [], notes: [] });
  });

  test('nine in the evening in Sao Paulo is nine in the evening there, and only then', async () => {
    const starts = await nextStarts('nightly', 'America/Sao_Paulo');
    assert.ok(starts.length >= 5);
    assert.ok(
      starts.every((time) => time.endsWith('21:00:00')),
      starts.join(', '),
    );
    assert.equal(new Set(starts.slice(0, 7)).size, Math.min(starts.length, 7), 'one a day');
  });

  test('midnight is midnight alone, and a list of days has no other day', async () => {
    await here.write({
      ...config,
      routines: { ...config['routines'], midnight: { at: '00:00', days: ['sun', 'wed'], run: 'backupDatabase' } },
    });
    const outcome = await apply();
    assert.match(outcome.steps.join('\n'), /create the schedule of midnight: sun, wed at 00:00 America\/Sao_Paulo/);
    const starts = await nextStarts('midnight', 'America/Sao_Paulo');
    assert.deepEqual([...new Set(starts)].sort(), ['Sun 00:00:00', 'Wed 00:00:00']);
  });

  test('a routine that is gone from the file keeps its schedule, is reported, and goes with --remove', async () => {
    await here.write(config);
    const kept = await apply();
    assert.match(kept.notes.join('\n'), /midnight is not in the file any more, but its schedule stays/);
    assert.ok(await describeRoutine(here.client, 'midnight'));
    const again = await apply();
    assert.equal(again.changed, false);
    assert.match(again.notes.join('\n'), /midnight/);
    const removed = await apply({ remove: true });
    assert.match(removed.steps.join('\n'), /remove the schedule of midnight/);
    assert.equal(await describeRoutine(here.client, 'midnight'), undefined);
  });

  test('a changed time changes the schedule, and an operator’s pause stays', async () => {
    await here.client.schedule.getHandle('routine/nightly').pause('the storage is being replaced');
    await here.write({
      ...config,
      routines: { nightly: { at: '22:30', days: ['mon', 'fri'], run: 'backupDatabase' } },
    });
    const outcome = await apply();
    assert.match(outcome.steps.join('\n'), /changed routine nightly: at: 21:00 → 22:30; days: daily → \["mon","fri"\]/);
    assert.match(
      outcome.steps.join('\n'),
      /update the schedule of nightly.*stays paused: the storage is being replaced/,
    );
    const found = await describeRoutine(here.client, 'nightly');
    assert.equal(found?.state.paused, true);
    assert.equal(found?.state.note, 'the storage is being replaced');
    await here.client.schedule.getHandle('routine/nightly').unpause('done');
    assert.deepEqual([...new Set(await nextStarts('nightly', 'America/Sao_Paulo'))].sort(), [
      'Fri 22:30:00',
      'Mon 22:30:00',
    ]);
    assert.equal((await apply()).changed, false, 'a pause that came and went is no change');
  });

  test('times that somebody changed by hand in Temporal are put right', async () => {
    await here.client.schedule.getHandle('routine/nightly').update(
      ({ state: { paused }, action, policies }) =>
        ({
          spec: { calendars: [{ hour: 3 }], timezone: 'UTC' },
          action: {
            ...action,
            type: 'startWorkflow',
            workflowType: 'runRoutine',
            args: [{ routine: 'nightly' }],
            taskQueue: 'control',
          },
          policies,
          state: { paused },
        }) as never,
    );
    const outcome = await apply();
    assert.deepEqual(outcome.steps, ['update the schedule of nightly: mon, fri at 22:30 America/Sao_Paulo']);
    assert.ok((await nextStarts('nightly', 'America/Sao_Paulo')).every((time) => time.endsWith('22:30:00')));
  });

  test('what a crash left undone is done by the next run', async () => {
    // Half a day away, so that its last slot is not one to be made up for.
    const hour = new Intl.DateTimeFormat('en-GB', { timeZone: 'America/Sao_Paulo', hour: '2-digit' });
    const at = `${hour.format(Date.now() + 12 * 3_600_000)}:00`;
    await here.write({
      ...config,
      routines: { nightly: { at: '20:00', run: 'backupDatabase' }, noon: { at, run: 'backupDatabase' } },
    });
    const loaded = await loadConfig(here.configPath);
    const plan = await planApply(here.client, {
      configPath: here.configPath,
      loaded,
      host: undefined,
      remove: false,
      force: false,
    });
    // The version is stored, and then the process is gone: no schedule, and what the file builds on is not settled.
    const crashed = { ...plan, schedules: [] };
    const { version } = await carryOut(here.client, crashed);
    assert.equal(await describeRoutine(here.client, 'noon'), undefined);
    const outcome = await apply();
    assert.deepEqual(outcome.steps, [
      'update the schedule of nightly: daily at 20:00 America/Sao_Paulo',
      `create the schedule of noon: daily at ${at} America/Sao_Paulo`,
    ]);
    assert.equal(outcome.version, version);
    assert.equal((await apply()).changed, false);
  });

  test('a file that builds on an older version is refused and says what it would undo', async () => {
    const colleague = join(here.folder, 'colleague');
    await mkdir(colleague);
    const theirs = join(colleague, 'cofre.yaml');
    await cp(here.configPath, theirs);
    await cp(`${here.configPath}.applied`, `${theirs}.applied`);

    await here.write({ ...config, environments: { ...config['environments'], 'beta-prod': here.environment('beta') } });
    const { version } = await apply();

    const text = await readFile(theirs, 'utf8');
    await writeFile(theirs, text.replace('20:00', '19:00'));
    await assert.rejects(
      apply({ path: theirs }),
      refusedFor(/version \d+ .*builds on an older one.*removed environment: beta-prod/s),
    );
    await rm(`${theirs}.applied`);
    await assert.rejects(apply({ path: theirs }), refusedFor(/was never applied from here/));
    const forced = await apply({ path: theirs, force: true });
    assert.equal(forced.version, (version ?? 0) + 1);
    await assert.rejects(apply(), refusedFor(/builds on an older one/), 'and now it is the first file that is old');
    assert.equal((await apply({ force: true })).changed, true);
  });

  test('more than a tenth of the environments never go without --force; one may', async () => {
    const many = Object.fromEntries(
      Array.from({ length: 12 }, (_, index) => [`many-${index}`, here.environment(`many_${index}`)]),
    );
    await here.write({ ...config, environments: { ...config['environments'], ...many } });
    await apply({ force: true });
    const { 'many-0': _0, ...eleven } = many;
    const { 'many-1': _1, ...ten } = eleven;
    await here.write({ ...config, environments: { ...config['environments'], ...ten } });
    await assert.rejects(apply(), refusedFor(/2 of 13 environments are not in the file any more, more than a tenth/));
    await here.write({ ...config, environments: { ...config['environments'], ...eleven } });
    assert.match((await apply()).steps.join('\n'), /removed environment: many-0/);
    await here.write(config);
    await assert.rejects(apply(), refusedFor(/11 of 12/));
    assert.equal((await apply({ force: true })).applied, true);
  });

  test('a destination that is not new is never prepared by itself: its volume may not be mounted', async () => {
    await rm(join(here.folder, 'volume'), { recursive: true });
    await mkdir(join(here.folder, 'volume'));
    const outcome = await apply();
    assert.equal(outcome.changed, false);
    assert.match(outcome.notes.join('\n'), /is empty: look whether its volume is mounted/);
  });

  test('a destination that has the only copy of something does not get another, empty place without --force', async () => {
    const { destinations, ...rest } = config;
    const path = join(here.folder, 'moved');
    await mkdir(path);
    await here.write({
      ...rest,
      destinations: { ...destinations, volume: { ...(destinations?.['volume'] as object), path } },
    });
    await here.openCatalog().then(async (catalog) => {
      const rows = new BackupRows(catalog);
      await finishBackup(catalog, { backupId: await rows.verified('acme-prod'), state: 'complete' });
    });
    await assert.rejects(
      apply(),
      refusedFor(
        /volume leads to another place than before, and the backup .* is counted there: .*not.*prepared|no cofre.json/,
      ),
    );
    assert.deepEqual(await readdir(path), []);
    await apply({ force: true });
    await here.write(config);
    await apply({ force: true });
  });

  test('only schedules that apply made are known as routines', async () => {
    await here.client.schedule.create({
      scheduleId: 'routine/by-hand',
      spec: { calendars: [{ hour: 1 }] },
      action: { type: 'startWorkflow', workflowType: 'other', taskQueue: 'other' },
    });
    await apply({ remove: true });
    assert.equal((await managedRoutines(here.client)).includes('by-hand'), false);
    assert.ok(await describeRoutine(here.client, 'by-hand'));
  });
});
