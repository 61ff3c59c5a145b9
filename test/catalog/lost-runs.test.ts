import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { listBackups } from '../../catalog/backup-list.ts';
import { finishBackup, recordCopy, recordDump, requireCurrentDump } from '../../catalog/backups.ts';
import { readHealth } from '../../catalog/health.ts';
import { closeLost, runningRows } from '../../catalog/lost-runs.ts';
import { finishRestore, lastRestores, recordRestore, startRestore } from '../../catalog/restores.ts';
import { BackupRows, SHA256 } from './backup-rows.ts';
import { freshCatalog, type FreshCatalog } from './fresh-catalog.ts';

let fresh: FreshCatalog;
let rows: BackupRows;
before(async () => {
  fresh = await freshCatalog();
  rows = new BackupRows(fresh.catalog);
});
after(() => fresh.drop());

const LOST = { code: 'run-lost', message: 'no run owns this any more', hint: 'make a new one' };

test('case 128: what no run owns is closed once, with its reason, and only while it runs', async () => {
  const { catalog } = fresh;
  const id = await rows.dumped('plain');
  assert.deepEqual(
    (await runningRows(catalog)).map((row) => row.id),
    [id],
  );
  assert.equal(await closeLost(catalog, { kind: 'backup', id }, LOST), 'failed');
  assert.equal(await closeLost(catalog, { kind: 'backup', id }, LOST), null, 'again changes nothing');
  const done = await rows.verified('done');
  await finishBackup(catalog, { backupId: done, state: 'complete', error: null });
  assert.equal(await closeLost(catalog, { kind: 'backup', id: done }, LOST), null, 'its run was quicker');
  assert.deepEqual(await runningRows(catalog), []);
  const [health] = await readHealth(catalog, ['plain'], ['volume', 'bucket']);
  assert.deepEqual([health?.failure?.id, health?.failure?.code], [id, 'run-lost']);
});

test('case 128: with a verified copy it is incomplete, what was under way is missing, and the status says why', async () => {
  const { catalog } = fresh;
  const id = await rows.verified('two-copies');
  await recordCopy(catalog, { backupId: id, destination: 'bucket', state: 'uploading', attempt: 'a1-1' });
  assert.equal(await closeLost(catalog, { kind: 'backup', id }, LOST), 'incomplete');
  const [backup] = await listBackups(catalog, { environment: 'two-copies' });
  assert.deepEqual(
    backup?.copies.map(({ destination, state }) => [destination, state]),
    [
      ['bucket', 'missing'],
      ['volume', 'verified'],
    ],
  );
  const [health] = await readHealth(catalog, ['two-copies'], ['volume', 'bucket']);
  assert.deepEqual([health?.verified?.id, health?.failure?.state, health?.debts], [id, 'incomplete', 1]);
});

test('case 128: a step of a run that is closed can publish nothing any more', async () => {
  const { catalog } = fresh;
  const id = await rows.dumped('fenced');
  await requireCurrentDump(catalog, id, 'a1-1');
  await closeLost(catalog, { kind: 'backup', id }, LOST);
  const late = { backupId: id, attempt: 'a1-1', host: 'erp-01', rows: 7, rawBytes: 1000, warnings: [] };
  await assert.rejects(requireCurrentDump(catalog, id, 'a1-1'), { code: 'refused' });
  await assert.rejects(recordDump(catalog, late), { code: 'refused' });
  const copy = { backupId: id, destination: 'volume', attempt: 'a1-1', sizeBytes: 200, sha256: SHA256 };
  await assert.rejects(recordCopy(catalog, { ...copy, state: 'verified' }), { code: 'refused' });
});

test('case 120: a dump that another host has replaced is sent and published no more', async () => {
  const { catalog } = fresh;
  const id = await rows.dumped('replaced');
  await recordDump(catalog, {
    backupId: id,
    attempt: 'a1-2',
    host: 'erp-02',
    rows: 7,
    rawBytes: 1000,
    warnings: [],
  });
  await requireCurrentDump(catalog, id, 'a1-2');
  await assert.rejects(requireCurrentDump(catalog, id, 'a1-1'), {
    code: 'refused',
    message: /a1-1 .* comes too late: the dump a1-2 took its place/,
  });
});

test('case 128: a restore that no run owns is closed, can swap nothing any more, and its end comes too late', async () => {
  const { catalog } = fresh;
  const restore = {
    id: 'r20261101T000000Z-00000001',
    environment: 'restored',
    workflowId: 'restoreDatabase/restored',
    runId: 'run',
    requestedBy: 'ana',
    startedAt: '2026-11-01T00:00:00.000Z',
  };
  await startRestore(catalog, restore);
  assert.equal(await closeLost(catalog, { kind: 'restore', id: restore.id }, LOST), 'failed');
  assert.equal(await closeLost(catalog, { kind: 'restore', id: restore.id }, LOST), null);
  await assert.rejects(recordRestore(catalog, restore.id, { newOid: 1 }), { code: 'refused' });
  await assert.rejects(finishRestore(catalog, restore.id, { state: 'restored' }), { code: 'refused' });
  const [found] = await lastRestores(catalog, 'restored');
  assert.deepEqual([found?.state, found?.error?.code], ['failed', 'run-lost']);
});
