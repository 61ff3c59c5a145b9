import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { after, before, describe, it } from 'node:test';

import { createBackupActivities } from '../../activities/backup.ts';
import { createControlActivities } from '../../activities/control.ts';
import { createRestoreActivities } from '../../activities/restore.ts';
import { createTidyActivities } from '../../activities/tidy.ts';
import { crashAll, freezeWorker, killWorker, record, type CrashCase, type Disturbance } from '../crash/matrix.ts';
import { chainedCases, oneCase, randomCases } from '../crash/positions.ts';
import type { StepRecord } from '../crash/protocol.ts';
import { seed } from '../crash/seed.ts';
import { scenarios, type Scenario } from '../crash/scenarios.ts';
import { CrashSite } from '../crash/site.ts';
import { isLong } from '../long.ts';

describe('a worker that dies or freezes', () => {
  let site: CrashSite;
  let worker: ChildProcess;
  let records: Map<Scenario, StepRecord[]>;

  before(async () => {
    site = await CrashSite.create(
      isLong ? { staged: 30, streamed: 10, debt: 3, new: 3 } : { staged: 16, streamed: 4, debt: 2, new: 2 },
    );
    worker = await site.workers.start();
    records = await record(site, scenarios);
  });

  after(() => site.remove());

  /** What stands at the end of the title is for people: how many positions, in how long. */
  async function crash(cases: readonly CrashCase[], disturb: Disturbance): Promise<void> {
    const startedAt = performance.now();
    const done = await crashAll(site, cases, worker, disturb);
    worker = done.worker;
    const seconds = Math.round((performance.now() - startedAt) / 1000);
    const positions = cases.reduce((sum, one) => sum + one.positions.length, 0);
    console.error(
      `crash matrix: ${positions} positions of ${cases.length} runs in ${done.rounds} rounds, ${seconds} s`,
    );
  }

  it('case 118: every activity of the product has its turn in the matrix', () => {
    const nothing = { spool: {} } as never;
    const activities = {
      ...createControlActivities(nothing),
      ...createBackupActivities(nothing),
      ...createRestoreActivities(nothing),
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

  it('case 118: killed at the start, in the middle or at the end of any step, or anywhere else, it leaves nothing or one whole thing', async () => {
    const backup = (activity: string, where: string): CrashCase => oneCase(records, 'a backup', activity, where);
    const restore = (activity: string, where: string): CrashCase =>
      oneCase(records, 'a restore over a live database', activity, where);
    const fixed = [
      backup('dump', 'middle'),
      backup('dump', 'end'),
      backup('compressDump', 'middle'),
      backup('upload', 'fs.link'),
      backup('verify', 'fs.link'),
      backup('verify', 'end'),
      backup('finishBackup', 'start'),
      restore('loadDatabase', 'middle'),
      restore('swapDatabase', 'start'),
      restore('swapDatabase', 'end'),
    ];
    // At full size each step, also in the middle of its tools, and many kills in one run.
    const cases = isLong
      ? [...chainedCases(records), ...randomCases(records, 60, seed)]
      : randomCases(records, 4, seed);
    await crash([...fixed, ...cases], killWorker);
  });

  const frozen = async (): Promise<void> => {
    const fixed = [
      oneCase(records, 'a backup', 'upload', 'fs.link'),
      oneCase(records, 'a backup', 'verify', 'fs.link'),
      oneCase(records, 'a restore over a live database', 'loadDatabase', 'sql.query SELECT d.oid'),
      oneCase(records, 'a restore over a live database', 'loadDatabase', 'sql.query CREATE DATABASE'),
      oneCase(records, 'a restore over a live database', 'loadDatabase', 'sql.query COMMENT ON DATABASE'),
    ];
    await crash([...fixed, ...chainedCases(records)], freezeWorker);
  };
  if (isLong) it('case 118: frozen until others have tried its steps again, and woken, it disturbs nothing', frozen);
});
