import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { finishBackup } from '../../catalog/backups.ts';
import { missingCopies } from '../../catalog/missing-copies.ts';
import { forgetCopies, givenUpIn, neededIn } from '../../catalog/retired.ts';
import { BackupRows } from './backup-rows.ts';
import { freshCatalog, type FreshCatalog } from './fresh-catalog.ts';

let fresh: FreshCatalog;
before(async () => (fresh = await freshCatalog()));
after(() => fresh.drop());

test('what was given up in one destination is known before another one is retired to it', async () => {
  const rows = new BackupRows(fresh.catalog);
  const id = await rows.verified('acme-prod');
  await rows.verify(id, 'second');
  await finishBackup(fresh.catalog, { backupId: id, state: 'complete' });
  assert.equal((await neededIn(fresh.catalog, 'volume', ['second', 'third'])).count, 0);
  // What lies in a destination that has left the configuration no restore finds.
  assert.deepEqual((await neededIn(fresh.catalog, 'volume', ['third'])).backups, [id]);
  assert.equal(await forgetCopies(fresh.catalog, 'volume', ['third'], { code: 'refused', message: 'retired' }), 0);
  const wanted = { environment: 'acme-prod', destination: 'third', configured: ['volume', 'second', 'third'] };
  assert.equal((await missingCopies(fresh.catalog, { ...wanted, others: ['second', 'third'] })).length, 0);
  assert.equal((await missingCopies(fresh.catalog, { ...wanted, others: ['third'] })).length, 1);
  assert.equal(
    await forgetCopies(fresh.catalog, 'second', ['volume'], { code: 'refused', message: 'retired to volume' }),
    1,
  );
  assert.deepEqual((await neededIn(fresh.catalog, 'volume', ['second'])).backups, [id]);
  assert.equal(await givenUpIn(fresh.catalog, 'volume', ['second'], 'second'), 1);
  assert.equal(await givenUpIn(fresh.catalog, 'volume', ['second', 'third'], 'third'), 0);
});
