import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { createAliasActivities } from '../../activities/alias.ts';
import { createBackupActivities } from '../../activities/backup.ts';
import { createCatalogActivities } from '../../activities/catalog-backup.ts';
import { createControlActivities } from '../../activities/control.ts';
import { createCopyActivities } from '../../activities/copy.ts';
import { createHoldActivities } from '../../activities/holds.ts';
import { createRestoreActivities } from '../../activities/restore.ts';
import { createSyncActivities } from '../../activities/sync.ts';
import { createTidyActivities } from '../../activities/tidy.ts';
import { createVerifyActivities } from '../../activities/verify-again.ts';
import { crashAll, freezeWorker, killWorker, record, type CrashCase, type Disturbance } from '../crash/matrix.ts';
import { chain, everyCase, oneCase, randomCases } from '../crash/positions.ts';
import type { StepRecord } from '../crash/protocol.ts';
import { seed } from '../crash/seed.ts';
import { scenarios, type Scenario } from '../crash/scenarios.ts';
import { CrashSite } from '../crash/site.ts';
import { isLong } from '../long.ts';

describe('a worker that dies or freezes', () => {
  let site: CrashSite;
  let records: Map<Scenario, StepRecord[]>;

  before(async () => {
    site = await CrashSite.create(
      isLong
        ? { staged: 30, streamed: 10, debt: 3, new: 3, adopting: 3 }
        : { staged: 16, streamed: 4, debt: 2, new: 2, adopting: 2 },
    );
    await site.startWorker();
    records = await record(site, scenarios);
  });

  after(() => site.remove());

  /** What stands at the end of the title is for people: how many positions, in how long. */
  async function crash(cases: readonly CrashCase[], disturb: Disturbance): Promise<void> {
    const startedAt = performance.now();
    const { rounds } = await crashAll(site, cases, disturb);
    const seconds = Math.round((performance.now() - startedAt) / 1000);
    const positions = cases.reduce((sum, one) => sum + one.positions.length, 0);
    console.error(`crash matrix: ${positions} positions of ${cases.length} runs in ${rounds} rounds, ${seconds} s`);
  }

  it('case 118: every activity of the product has its turn in the matrix', () => {
    const nothing = { spool: {} } as never;
    const activities = {
      ...createControlActivities(nothing),
      ...createBackupActivities(nothing),
      ...createAliasActivities(nothing),
      ...createCatalogActivities(nothing),
      ...createCopyActivities(nothing),
      ...createVerifyActivities(nothing),
      ...createRestoreActivities(nothing),
      ...createSyncActivities(nothing),
      ...createHoldActivities(nothing),
      ...createTidyActivities(nothing),
    };
    const met = new Set([...records.values()].flat().map(({ activity }) => activity));
    const missing = Object.keys(activities).filter((name) => !met.has(name));
    assert.deepEqual(missing, [], 'give the matrix a scenario in which they run');
  });

  it('case 118: whatever gets its final name was written to the disk before, so that a power cut leaves nothing half-made', () => {
    const names = [...records.values()].flat().map(({ operations }) => operations);
    const publishing = names.filter((operations) => operations.some((name) => name.startsWith('fs.link')));
    assert.ok(publishing.length > 0);
    for (const operations of publishing) {
      const named = operations.findIndex((name) => name.startsWith('fs.link'));
      const before = operations.slice(0, named);
      const written = before.findLastIndex((name) => name.startsWith('file.write'));
      assert.ok(written < before.lastIndexOf('file.sync '), `its bytes: ${operations.join(', ')}`);
      assert.ok(operations.slice(named).includes('file.sync '), `its name: ${operations.join(', ')}`);
    }
  });

  const at = (scenario: string, activity: string, where: string): CrashCase =>
    oneCase(records, scenario, activity, where);

  it('case 118: killed at the start, in the middle or at the end of any step, or anywhere else, it leaves nothing or one whole thing', async () => {
    const fixed = [
      at('a backup', 'dump', 'middle'),
      at('a backup', 'dump', 'end'),
      at('a backup', 'compressDump', 'middle'),
      at('a backup', 'upload', 'fs.link'),
      at('a backup', 'verify', 'fs.link'),
      at('a backup', 'verify', 'end'),
      at('a backup', 'finishBackup', 'start'),
      at('a restore over a live database', 'loadDatabase', 'middle'),
      at('a restore over a live database', 'loadDatabase', 'tool'),
      at('a restore over a live database', 'swapDatabase', 'start'),
      at('a restore over a live database', 'swapDatabase', 'end'),
    ];
    const others = isLong ? [...everyCase(records), ...randomCases(records, 60, seed)] : randomCases(records, 4, seed);
    await crash([...fixed, ...others], killWorker);
  });

  if (isLong) {
    it('case 118: killed again and again in one run, it leaves nothing or one whole thing', async () => {
      await crash(chains(), killWorker);
    });
  }

  it('case 118: frozen until others have tried its steps again, and woken, it disturbs nothing', async () => {
    const fixed = [
      at('a backup', 'upload', 'fs.link'),
      at('a backup', 'verify', 'fs.link'),
      at('a restore over a live database', 'loadDatabase', 'sql.query SELECT d.oid'),
      at('a restore over a live database', 'loadDatabase', 'sql.query CREATE DATABASE'),
      at('a restore over a live database', 'loadDatabase', 'sql.query COMMENT ON DATABASE'),
    ];
    await crash(isLong ? [...fixed, ...everyCase(records), ...chains()] : fixed, freezeWorker);
  });

  /** Runs to which it happens again and again. */
  function chains(): CrashCase[] {
    return [
      chain(records, 'a backup', ['dump', 'tool'], ['upload', 'fs.link'], ['verify', 'end']),
      chain(
        records,
        'a backup',
        ...([
          ['checkBackup', 'middle'],
          ['dump', 'end'],
          ['compressDump', 'tool'],
          ['verify', 'tool'],
          ['deleteLocal', 'end'],
        ] as const),
      ),
      chain(
        records,
        'a restore over a live database',
        ...([
          ['fetchBackup', 'tool'],
          ['loadDatabase', 'tool'],
          ['swapDatabase', 'middle'],
          ['finishRestore', 'start'],
          ['dropDatabase', 'end'],
        ] as const),
      ),
    ];
  }
});
