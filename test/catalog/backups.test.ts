import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { getBackup, listBackups } from '../../catalog/backup-list.ts';
import { backupStates, finishBackup, recordCopy, recordDump, startBackup } from '../../catalog/backups.ts';
import { getManifest, storeManifest } from '../../catalog/manifests.ts';
import { manifestBytes } from '../../catalog/parse-manifest.ts';
import { lastSizes, latestVerifiedBackup, passedOver } from '../../catalog/verified-backup.ts';
import { BackupRows, SHA256 } from './backup-rows.ts';
import { freshCatalog, type FreshCatalog } from './fresh-catalog.ts';
import { sampleManifest } from './sample-manifest.ts';

let fresh: FreshCatalog;
before(async () => {
  fresh = await freshCatalog();
  rows = new BackupRows(fresh.catalog);
});
after(() => fresh.drop());

let rows: BackupRows;
const running = (environment: string): Promise<string> => rows.running(environment);
const dumped = (...args: Parameters<BackupRows['dumped']>): Promise<string> => rows.dumped(...args);
const verified = (...args: Parameters<BackupRows['verified']>): Promise<string> => rows.verified(...args);
const verify = (...args: Parameters<BackupRows['verify']>): Promise<string> => rows.verify(...args);

test('the list has exactly the shape that scripts rely on', async () => {
  const id = await verified('shape');
  await recordCopy(fresh.catalog, { backupId: id, destination: 'bucket', state: 'uploading', attempt: 'a1-1' });
  await finishBackup(fresh.catalog, { backupId: id, state: 'incomplete', error: null });
  const open = await running('shape');
  const [second, first] = JSON.parse(JSON.stringify(await listBackups(fresh.catalog, { environment: 'shape' }))) as [
    Record<string, unknown>,
    Record<string, unknown>,
  ];
  assert.match(String(first['finishedAt']), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  const [, copy] = first['copies'] as Record<string, unknown>[];
  assert.match(String(copy?.['verifiedAt']), /Z$/);
  assert.deepEqual(first, {
    id,
    environment: 'shape',
    kind: 'database',
    mode: 'full',
    state: 'incomplete',
    startedAt: new Date(Date.UTC(2026, 10, 1, 1)).toISOString(),
    finishedAt: first['finishedAt'],
    sizeBytes: 200,
    rawBytes: 1000,
    copies: [
      { destination: 'bucket', state: 'uploading', sizeBytes: null, sha256: null, verifiedAt: null },
      { destination: 'volume', state: 'verified', sizeBytes: 200, sha256: SHA256, verifiedAt: copy?.['verifiedAt'] },
    ],
  });
  assert.equal(second['id'], open);
  assert.equal(second['state'], 'running');
  assert.equal(second['finishedAt'], null);
  assert.equal((await listBackups(fresh.catalog, { environment: 'shape', limit: 1 })).length, 1);
});

test('the run that started a backup may say so again; another run may not take its id', async () => {
  const startedAt = '2026-10-01T21:00:00.000Z';
  const backup = {
    id: '20261001T210000Z-00000001',
    environment: 'twice',
    kind: 'database',
    mode: 'full',
    pipeline: 'staged',
    workflowId: 'op/twice',
    runId: 'run-a',
    configVersion: 1,
    startedAt,
  } as const;
  assert.equal(await startBackup(fresh.catalog, backup), 'running');
  assert.equal(await startBackup(fresh.catalog, backup), 'running');
  await assert.rejects(startBackup(fresh.catalog, { ...backup, runId: 'run-b' }), { code: 'refused' });
  await finishBackup(fresh.catalog, {
    backupId: backup.id,
    state: 'failed',
    error: { code: 'no-space', message: 'full' },
  });
  assert.equal(await startBackup(fresh.catalog, backup), 'failed');
  assert.deepEqual(await backupStates(fresh.catalog, [backup.id, 'unknown']), new Map([[backup.id, 'failed']]));
});

test('sizes beyond four gigabytes stay numbers', async () => {
  const id = await verified('large', 5_000_000_000_000, 900_000_000_000);
  const backup = await getBackup(fresh.catalog, id);
  assert.equal(backup.rawBytes, 5_000_000_000_000);
  assert.equal(backup.sizeBytes, 900_000_000_000);
});

test('a finished backup stays finished: the same end again is fine, any other is refused', async () => {
  const id = await verified('finished');
  assert.equal(await finishBackup(fresh.catalog, { backupId: id, state: 'complete' }), 'complete');
  const { finishedAt } = await getBackup(fresh.catalog, id);
  assert.equal(await finishBackup(fresh.catalog, { backupId: id, state: 'complete' }), 'complete');
  assert.equal((await getBackup(fresh.catalog, id)).finishedAt, finishedAt);
  await assert.rejects(finishBackup(fresh.catalog, { backupId: id, state: 'incomplete' }), { code: 'refused' });
  await assert.rejects(
    recordDump(fresh.catalog, { backupId: id, attempt: 'a9-9', host: 'x', rows: 0, rawBytes: 0, warnings: [] }),
    { code: 'refused' },
  );
  assert.equal((await getBackup(fresh.catalog, id)).attempt, 'a1-1');
});

test('success needs a verified copy, and a failure after one is a debt, not a failure', async () => {
  const none = await dumped('debt');
  await assert.rejects(finishBackup(fresh.catalog, { backupId: none, state: 'complete' }), { code: 'refused' });
  await assert.rejects(finishBackup(fresh.catalog, { backupId: none, state: 'incomplete' }), { code: 'refused' });
  const one = await verified('debt');
  const error = { code: 'destination-unavailable', message: 'bucket: no answer', hint: 'look at it' };
  assert.equal(await finishBackup(fresh.catalog, { backupId: one, state: 'failed', error }), 'incomplete');
  assert.deepEqual((await getBackup(fresh.catalog, one)).error, error);
  assert.equal(await finishBackup(fresh.catalog, { backupId: one, state: 'complete' }), 'complete');
  assert.equal((await getBackup(fresh.catalog, one)).error, null);
});

test('a run that ends early leaves no copy under way', async () => {
  const id = await verified('early');
  await recordCopy(fresh.catalog, { backupId: id, destination: 'bucket', state: 'uploading', attempt: 'a1-1' });
  const error = { code: 'cancelled', message: 'the run was cancelled' };
  assert.equal(await finishBackup(fresh.catalog, { backupId: id, state: 'failed', error }), 'incomplete');
  const { copies } = await getBackup(fresh.catalog, id);
  assert.deepEqual(
    copies.map(({ destination, state, error: why }) => [destination, state, why?.code]),
    [
      ['bucket', 'missing', 'cancelled'],
      ['volume', 'verified', undefined],
    ],
  );
});

test('a later dump replaces an earlier one only as long as nothing of it was verified', async () => {
  const id = await dumped('again');
  const dump = { backupId: id, host: 'erp-02', rows: 8, rawBytes: 9, warnings: ['a warning'] };
  await recordDump(fresh.catalog, { ...dump, attempt: 'a2-2' });
  await recordDump(fresh.catalog, { ...dump, attempt: 'a2-2' });
  await verify(id, 'volume', { attempt: 'a2-2' });
  await assert.rejects(recordDump(fresh.catalog, { ...dump, attempt: 'a3-3' }), { code: 'refused' });
  const { attempt, host, rows, warnings } = await getBackup(fresh.catalog, id);
  assert.deepEqual(
    { attempt, host, rows, warnings },
    { attempt: 'a2-2', host: 'erp-02', rows: 8, warnings: ['a warning'] },
  );
});

test('a verified copy is not taken back by steps that come late', async () => {
  const backupId = await dumped('late');
  const step = { backupId, destination: 'volume' } as const;
  assert.equal(await recordCopy(fresh.catalog, { ...step, state: 'uploading', attempt: 'a1-1' }), 'uploading');
  assert.equal(await recordCopy(fresh.catalog, { ...step, state: 'uploaded', attempt: 'a1-1' }), 'uploaded');
  assert.equal(await recordCopy(fresh.catalog, { ...step, state: 'uploading', attempt: 'a1-1' }), 'uploaded');
  assert.equal(await verify(backupId, 'volume'), 'verified');
  for (const state of ['uploading', 'uploaded', 'missing'] as const) {
    for (const attempt of ['a1-1', 'a2-2', undefined]) {
      assert.equal(await recordCopy(fresh.catalog, { ...step, state, attempt }), 'verified');
    }
  }
  assert.equal(await verify(backupId, 'volume'), 'verified');
  await assert.rejects(verify(backupId, 'volume', { attempt: 'a2-2' }), { code: 'refused' });
  const [copy] = (await getBackup(fresh.catalog, backupId)).copies;
  assert.deepEqual([copy?.state, copy?.attempt, copy?.sha256], ['verified', 'a1-1', SHA256]);
});

test('a copy that somebody looked for becomes suspect, missing, and can be healed; a deleted one is gone', async () => {
  const backupId = await verified('sync');
  const step = { backupId, destination: 'volume' } as const;
  for (const state of ['suspect', 'missing', 'uploading', 'uploaded'] as const) {
    assert.equal(await recordCopy(fresh.catalog, { ...step, state, attempt: 'a1-1' }), state);
  }
  assert.equal(await verify(backupId, 'volume'), 'verified');
  assert.equal(await recordCopy(fresh.catalog, { ...step, state: 'deleting' }), 'deleting');
  await assert.rejects(verify(backupId, 'volume'), { code: 'refused' });
  assert.equal(await recordCopy(fresh.catalog, { ...step, state: 'deleted' }), 'deleted');
  assert.equal(await recordCopy(fresh.catalog, { ...step, state: 'uploading', attempt: 'a9-9' }), 'deleted');
});

test('the copies of another dump begin again from nothing', async () => {
  const backupId = await dumped('redump');
  const step = { backupId, destination: 'volume' } as const;
  await recordCopy(fresh.catalog, { ...step, state: 'uploaded', attempt: 'a1-1' });
  assert.equal(await recordCopy(fresh.catalog, { ...step, state: 'uploading', attempt: 'a1-2' }), 'uploading');
  assert.equal((await getBackup(fresh.catalog, backupId)).copies[0]?.attempt, 'a1-2');
});

test('a missing copy remembers why', async () => {
  const backupId = await dumped('why');
  const error = { code: 'access-denied', message: 'the bucket says no' };
  await recordCopy(fresh.catalog, { backupId, destination: 'bucket', state: 'missing', error });
  assert.deepEqual((await getBackup(fresh.catalog, backupId)).copies[0]?.error, error);
});

test('steps of many copies at once end in the last state', async () => {
  const backupId = await dumped('crowd');
  const step = { backupId, destination: 'volume', attempt: 'a1-1' } as const;
  await Promise.all([
    ...Array.from({ length: 8 }, () => recordCopy(fresh.catalog, { ...step, state: 'uploading' })),
    verify(backupId, 'volume'),
    ...Array.from({ length: 8 }, () => recordCopy(fresh.catalog, { ...step, state: 'uploaded' })),
  ]);
  assert.equal((await getBackup(fresh.catalog, backupId)).copies[0]?.state, 'verified');
});

test('an unknown backup is named', async () => {
  await assert.rejects(getBackup(fresh.catalog, 'nothing'), { code: 'not-known', message: /nothing/ });
  await assert.rejects(finishBackup(fresh.catalog, { backupId: 'nothing', state: 'failed' }), { code: 'not-known' });
});

test('the latest verified backup is found, and the newer ones that were passed over are explained', async () => {
  const older = await verified('latest', 500, 50);
  await finishBackup(fresh.catalog, { backupId: older, state: 'complete' });
  const best = await verified('latest', 600, 60);
  await finishBackup(fresh.catalog, { backupId: best, state: 'incomplete' });
  const lost = await verified('latest', 700, 70);
  await finishBackup(fresh.catalog, { backupId: lost, state: 'complete' });
  await recordCopy(fresh.catalog, { backupId: lost, destination: 'volume', state: 'suspect' });
  const failed = await dumped('latest');
  await finishBackup(fresh.catalog, {
    backupId: failed,
    state: 'failed',
    error: { code: 'no-space', message: 'no room' },
  });
  const open = await running('latest');
  await verified('elsewhere');

  const backup = await latestVerifiedBackup(fresh.catalog, 'latest', { anomalous: 'take' });
  assert.equal(backup?.id, best);
  assert.deepEqual(await passedOver(fresh.catalog, backup), [
    { backupId: open, why: 'still running' },
    { backupId: failed, why: 'failed: no room' },
    { backupId: lost, why: 'no copy of it is verified: volume suspect' },
  ]);
  assert.deepEqual(await lastSizes(fresh.catalog, 'latest'), { rawBytes: 600, sizeBytes: 60 });

  const earlier = await latestVerifiedBackup(fresh.catalog, 'latest', { before: backup?.startedAt, anomalous: 'take' });
  assert.equal(earlier?.id, older);
  assert.deepEqual((await passedOver(fresh.catalog, earlier))[0], {
    backupId: best,
    why: 'newer and verified, but another one was asked for',
  });
});

test('an environment without a verified backup has none', async () => {
  await dumped('bare');
  assert.equal(await latestVerifiedBackup(fresh.catalog, 'bare', { anomalous: 'take' }), undefined);
  assert.equal(await lastSizes(fresh.catalog, 'bare'), null);
});

test('a manifest comes back with the very same bytes, and cannot be replaced', async () => {
  const id = await dumped('manifest');
  const manifest = sampleManifest(id, 'manifest');
  await storeManifest(fresh.catalog, manifest);
  await storeManifest(fresh.catalog, manifest);
  assert.deepEqual(manifestBytes(await getManifest(fresh.catalog, id)), manifestBytes(manifest));
  assert.equal((await getBackup(fresh.catalog, id)).snapshotAt, manifest.snapshotAt);
  await assert.rejects(storeManifest(fresh.catalog, { ...manifest, host: 'other' }), { code: 'already-exists' });
  await assert.rejects(storeManifest(fresh.catalog, sampleManifest('20200101T000000Z-00000000')), {
    code: 'not-known',
  });
  await assert.rejects(getManifest(fresh.catalog, 'nothing'), { code: 'not-known' });
});
