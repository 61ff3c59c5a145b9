import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, beforeEach, test } from 'node:test';

import { finishBackup } from '../../catalog/backups.ts';
import { getBackup } from '../../catalog/backup-list.ts';
import type { Hold } from '../../catalog/hold.ts';
import { confirmHolds, unconfirmedSince, whyKept } from '../../catalog/hold-confirmations.ts';
import {
  beginRelease,
  endRelease,
  liveHold,
  missingHoldFiles,
  recordHoldFile,
  setHold,
  takeHold,
  takeUnreadable,
} from '../../catalog/holds.ts';
import { importBackup } from '../../catalog/import-backup.ts';
import { requireUntil } from '../../activities/resolve-hold.ts';
import { BackupRows } from './backup-rows.ts';
import { freshCatalog, type FreshCatalog } from './fresh-catalog.ts';
import { sampleManifest } from './sample-manifest.ts';

let fresh: FreshCatalog;
let rows: BackupRows;
let id: string;

before(async () => {
  fresh = await freshCatalog();
  rows = new BackupRows(fresh.catalog);
});
after(() => fresh.drop());
beforeEach(async () => {
  id = await rows.verified('acme-prod');
  await finishBackup(fresh.catalog, { backupId: id, state: 'complete' });
});

function holdOf(until: string | number, change: Partial<Hold> = {}): Hold {
  const ends = typeof until === 'string' ? until : new Date(Date.now() + until).toISOString();
  const setAt = new Date().toISOString();
  const of = { backupId: id, environment: 'acme-prod' };
  return { id: randomUUID(), ...of, reason: 'a court', until: ends, setBy: 'ana@erp-01', setAt, ...change };
}

const DAY = 86_400_000;

async function isHeld(): Promise<boolean> {
  return (await getBackup(fresh.catalog, id)).held === true;
}

test('a backup is held until its time, and pruning is told why', async () => {
  const hold = holdOf(DAY);
  await setHold(fresh.catalog, hold);
  await setHold(fresh.catalog, hold);
  assert.ok(await isHeld());
  assert.equal(await whyKept(fresh.catalog, id), `held until ${hold.until}: a court`);
  await fresh.catalog.query(`UPDATE cofre.holds SET until = now() - interval '1 second' WHERE backup_id = $1`, [id]);
  assert.equal(await isHeld(), false);
  assert.equal(await whyKept(fresh.catalog, id), null);
  assert.equal((await liveHold(fresh.catalog, id))?.counts, false, 'it is shown as ended');
});

test('a hold is extended and never shortened, and what was held before stays on record', async () => {
  const first = holdOf(2 * DAY);
  await setHold(fresh.catalog, first);
  await assert.rejects(setHold(fresh.catalog, holdOf(DAY)), /held until .* already, by ana@erp-01/);
  const longer = holdOf(3 * DAY, { setBy: 'bia@erp-01' });
  await setHold(fresh.catalog, longer);
  assert.equal((await liveHold(fresh.catalog, id))?.id, longer.id);
  await assert.rejects(setHold(fresh.catalog, first), /another hold .* took its place/, 'a try that comes late');
  const past = await fresh.catalog.query('SELECT ended, ended_by FROM cofre.holds WHERE id = $1', [first.id]);
  assert.deepEqual(past, [{ ended: 'replaced', ended_by: 'bia@erp-01' }]);
});

test('a release counts when it is done, not when it begins, and a hold in between wins', async () => {
  const hold = holdOf(DAY);
  await setHold(fresh.catalog, hold);
  assert.equal((await beginRelease(fresh.catalog, id, 'bia@erp-01'))?.releasing?.by, 'bia@erp-01');
  assert.ok(await isHeld());
  const again = holdOf(DAY / 2);
  await setHold(fresh.catalog, again);
  await assert.rejects(endRelease(fresh.catalog, id, hold.id), /held again by ana@erp-01 meanwhile/);
  await beginRelease(fresh.catalog, id, 'bia@erp-01');
  await endRelease(fresh.catalog, id, again.id);
  await endRelease(fresh.catalog, id, again.id);
  assert.deepEqual([await isHeld(), await whyKept(fresh.catalog, id)], [false, null]);
  assert.equal(await beginRelease(fresh.catalog, id, 'bia@erp-01'), undefined);
});

test('what is not closed with a copy cannot be held, and no hold ends in the past or in eleven years', async () => {
  for (const backupId of [await rows.running('acme-prod'), await rows.verified('acme-prod')])
    await assert.rejects(setHold(fresh.catalog, holdOf(DAY, { backupId })), /is running: there is nothing to hold/);
  const now = new Date().toISOString();
  assert.throws(() => requireUntil(now, now), /has passed/);
  assert.throws(() => requireUntil(new Date(Date.now() + 11 * 365 * DAY).toISOString(), now), /10 years at most/);
  requireUntil(new Date(Date.now() + 9 * 365 * DAY).toISOString(), now);
  await assert.rejects(setHold(fresh.catalog, holdOf(DAY, { reason: 'a\u0007' })), { code: 'bad-input' });
});

test('a copy without the file is told until it lies there, wherever the destination is still known', async () => {
  const hold = holdOf(DAY);
  await setHold(fresh.catalog, hold);
  const mine = async (...names: string[]): Promise<string[]> =>
    (await missingHoldFiles(fresh.catalog, names)).flatMap((one) => (one.backupId === id ? [one.destination] : []));
  assert.deepEqual(await mine('volume', 'second'), ['volume']);
  assert.deepEqual(await mine('second'), []);
  await recordHoldFile(fresh.catalog, { backupId: id, destination: 'volume' }, hold.id);
  assert.deepEqual(await mine('volume'), []);
  await setHold(fresh.catalog, holdOf(2 * DAY));
  assert.deepEqual(await mine('volume'), ['volume'], 'it is that of the hold before');
});

test('what a destination knows is taken, the longer one counts, and nothing is pruned until somebody confirms it', async () => {
  assert.equal(await unconfirmedSince(fresh.catalog), null);
  const other = await rows.verified('acme-prod');
  const found = holdOf(2 * DAY);
  assert.equal(await takeHold(fresh.catalog, found, 'volume'), 'taken');
  assert.equal(await takeHold(fresh.catalog, found, 'second'), 'same');
  assert.equal(await takeHold(fresh.catalog, holdOf(DAY), 'second'), 'shorter');
  assert.equal(await takeHold(fresh.catalog, holdOf(3 * DAY), 'second'), 'taken');
  assert.equal(await takeHold(fresh.catalog, found, 'volume'), 'ended');
  assert.equal(await takeUnreadable(fresh.catalog, id, 'volume', 'it is not JSON'), false, 'it is held already');
  assert.equal(await whyKept(fresh.catalog, other), 'the holds of this catalog are not confirmed');
  assert.equal(await confirmHolds(fresh.catalog, 'ana@erp-01'), true);
  assert.equal(await confirmHolds(fresh.catalog, 'ana@erp-01'), false);
  assert.deepEqual([await whyKept(fresh.catalog, other), await unconfirmedSince(fresh.catalog)], [null, null]);
});

test('a hold that cannot be read holds until somebody releases it', async () => {
  assert.equal(await takeUnreadable(fresh.catalog, id, 'volume', 'it is not JSON'), true);
  assert.equal(await takeUnreadable(fresh.catalog, id, 'second', 'it is not JSON'), false);
  assert.ok(await isHeld());
  assert.match(
    (await whyKept(fresh.catalog, id)) ?? '',
    /^held until it is released: hold\.json in volume cannot be read/,
  );
  const readable = holdOf(DAY);
  assert.equal(await takeHold(fresh.catalog, readable, 'second'), 'taken');
  assert.equal((await liveHold(fresh.catalog, id))?.until, readable.until);
  await confirmHolds(fresh.catalog, 'ana@erp-01');
});

test('a backup that is taken in from a destination has the holds confirmed again', async () => {
  const manifest = sampleManifest('20260101T000000Z-0000000a');
  const finding = { manifest, destination: 'volume', workflowId: 'syncCatalog/all/1', runId: 'run' };
  await importBackup(fresh.catalog, finding);
  assert.notEqual(await unconfirmedSince(fresh.catalog), null);
  await confirmHolds(fresh.catalog, 'ana@erp-01');
  await importBackup(fresh.catalog, { ...finding, destination: 'second' });
  assert.equal(await unconfirmedSince(fresh.catalog), null, 'a further copy of what is known says nothing of holds');
});
