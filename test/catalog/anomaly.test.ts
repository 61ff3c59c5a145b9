import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { newBackupId } from '../../catalog/backup-id.ts';
import { getBackup, listBackups } from '../../catalog/backup-list.ts';
import { acceptBackup, finishBackup, recordCopy, recordDump, startBackup } from '../../catalog/backups.ts';
import { readHealth } from '../../catalog/health.ts';
import { latestVerifiedBackup, passedOver } from '../../catalog/verified-backup.ts';
import { freshCatalog, type FreshCatalog } from './fresh-catalog.ts';

let fresh: FreshCatalog;
before(async () => (fresh = await freshCatalog()));
after(() => fresh.drop());

let made = 0;

/** A backup, an hour after the one before; gives its id and what the catalog said of its size. */
async function backUp(
  environment: string,
  {
    rows,
    rawBytes = rows * 100,
    copy = 'verified',
  }: { rows: number; rawBytes?: number; copy?: 'verified' | 'missing' },
): Promise<{ id: string; anomaly: string | null }> {
  made += 1;
  const startedAt = new Date(Date.UTC(2026, 10, 1, made));
  const id = newBackupId(startedAt, made.toString(16).padStart(8, '0'));
  await startBackup(fresh.catalog, {
    ...{ id, environment, kind: 'database', mode: 'full', pipeline: 'staged', configVersion: 1 },
    ...{ workflowId: `backupDatabase/${id}`, runId: id, startedAt: startedAt.toISOString() },
  });
  const dump = { backupId: id, attempt: 'a1-1', host: 'erp-01', rows, rawBytes, warnings: ['another'] };
  const anomaly = await recordDump(fresh.catalog, dump);
  const proof = { attempt: 'a1-1', sizeBytes: 200, sha256: 'e'.repeat(64) };
  if (copy === 'verified')
    await recordCopy(fresh.catalog, { backupId: id, destination: 'volume', state: copy, ...proof });
  await finishBackup(fresh.catalog, { backupId: id, state: copy === 'verified' ? 'complete' : 'failed' });
  return { id, anomaly };
}

for (const [what, before, now, marked] of [
  ['half of the rows is left', { rows: 2_000 }, { rows: 1_000 }, false],
  ['less than half of the rows is left', { rows: 2_000 }, { rows: 999, rawBytes: 200_000 }, true],
  ['less than half of the bytes is left', { rows: 2_000, rawBytes: 900 }, { rows: 2_000, rawBytes: 449 }, true],
  ['nothing is left', { rows: 1_000 }, { rows: 0 }, true],
  ['it was tiny before', { rows: 999 }, { rows: 0 }, false],
  ['it has grown', { rows: 2_000 }, { rows: 2_000_000 }, false],
] as const) {
  test(`case 15: a backup is ${marked ? '' : 'not '}marked as anomalous when ${what}`, async () => {
    const first = await backUp(what, before);
    assert.equal(first.anomaly, null, 'the first has nothing to be compared with');
    const { id, anomaly } = await backUp(what, now);
    const [summary] = await listBackups(fresh.catalog, { environment: what });
    assert.deepEqual([summary?.id, summary?.anomalous], [id, marked ? true : undefined]);
    if (!marked) return assert.equal(anomaly, null);
    assert.match(
      anomaly ?? '',
      new RegExp(`it has ${now.rows} rows and .*; the backup before, ${first.id}, has ${before.rows} rows`),
    );
    assert.deepEqual((await getBackup(fresh.catalog, id)).warnings, [`anomalous: ${anomaly}`, 'another']);
  });
}

test('case 15: an emptied database stays anomalous night after night, until somebody accepts it', async () => {
  const { catalog } = fresh;
  const full = await backUp('emptied', { rows: 50_000 });
  const failed = await backUp('emptied', { rows: 10, copy: 'missing' });
  assert.notEqual(failed.anomaly, null);
  const nights = [await backUp('emptied', { rows: 10 }), await backUp('emptied', { rows: 12 })];
  for (const { anomaly } of nights) assert.match(anomaly ?? '', new RegExp(full.id));
  const newest = nights[1]?.id ?? '';

  const [health] = await readHealth(catalog, ['emptied'], ['volume']);
  assert.deepEqual([health?.verified?.id, health?.verified?.anomalous], [newest, true]);
  const taken = await latestVerifiedBackup(catalog, 'emptied', { anomalous: 'take' });
  assert.equal(taken?.id, newest);
  const backup = await latestVerifiedBackup(catalog, 'emptied', { anomalous: 'pass over' });
  assert.equal(backup?.id, full.id);
  const newer = await passedOver(catalog, backup);
  assert.deepEqual(
    newer.map(({ backupId }) => backupId),
    [newest, nights[0]?.id, failed.id],
  );
  assert.match(newer[0]?.why ?? '', new RegExp(`^anomalous: .*--backup ${newest}`));
  assert.equal(newer[2]?.why, 'failed');

  assert.equal(await acceptBackup(catalog, newest, 'maria@ops-01'), true);
  assert.equal(await acceptBackup(catalog, newest, 'joão@ops-01'), false, 'once');
  const { anomalous, accepted } = await getBackup(catalog, newest);
  assert.deepEqual([anomalous, accepted?.by], [undefined, 'maria@ops-01']);
  assert.equal((await latestVerifiedBackup(catalog, 'emptied', { anomalous: 'pass over' }))?.id, newest);
  assert.equal(
    (await backUp('emptied', { rows: 11 })).anomaly,
    null,
    'what comes is compared with the one that is right',
  );
  await assert.rejects(acceptBackup(catalog, '20261120T210000Z-00000000', 'maria'), { code: 'not-known' });
});
