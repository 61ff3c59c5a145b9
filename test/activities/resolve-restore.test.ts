import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import type { EnsurePlan } from '../../activities/plans.ts';
import { payableDebts, resolveCopies, whatIsMissing } from '../../activities/resolve-copies.ts';
import { resolveEnsure } from '../../activities/resolve-restore.ts';
import { finishBackup, recordCopy } from '../../catalog/backups.ts';
import { storeConfiguration } from '../../catalog/configurations.ts';
import { BackupRows } from '../catalog/backup-rows.ts';
import { freshCatalog, type FreshCatalog } from '../catalog/fresh-catalog.ts';

let fresh: FreshCatalog;
let rows: BackupRows;
before(async () => {
  fresh = await freshCatalog();
  rows = new BackupRows(fresh.catalog);
  const login = { user: 'u', password: 'env:P' };
  const environment = (name: string): object => ({
    ...{ stage: 'production', customer: 'acme', policy: 'standard' },
    database: { server: 'pg', name, owner: name },
  });
  await storeConfiguration(fresh.catalog, {
    document: {
      hosts: { h1: { spool: '/spool' } },
      servers: { pg: { host: '127.0.0.1', backup: login, admin: login } },
      destinations: { second: { type: 'directory', path: '/backups', shared: true } },
      policies: { standard: { copies: { to: ['second'] } } },
      environments: { acme: environment('acme'), fresh: environment('fresh'), doubtful: environment('doubtful') },
      routines: { nightly: { at: '21:00', run: 'backupDatabase' } },
    },
    ...{ digest: 'd'.repeat(64), basedOn: null, force: false, appliedBy: 'test' },
  });
});
after(() => fresh.drop());

const startedAt = '2026-11-02T00:00:00Z';
const ensure = (to: string): Promise<EnsurePlan> =>
  resolveEnsure(fresh.catalog, { restoreId: 'r1', to, workflowId: 'w', runId: 'r', startedAt });

test('a newest backup that is only where the configuration leads no more is named, and where it is; none older is taken', async () => {
  const older = await rows.verified('acme');
  await rows.verify(older, 'second');
  const newest = await rows.verified('acme');
  for (const backupId of [older, newest]) await finishBackup(fresh.catalog, { backupId, state: 'complete' });
  const { choice, refusal } = await ensure('acme');
  assert.deepEqual([choice, refusal?.code], [null, 'refused']);
  assert.match(refusal?.message ?? '', new RegExp(newest));
  const instead = `it is in volume, .*put it back .*, or cofre restore --from acme --backup ${older} --to acme`;
  assert.match(refusal?.hint ?? '', new RegExp(instead));
  // Nor is it copied, or a debt that somebody could pay.
  const copies = { environment: 'acme', to: ['second'], startedAt };
  await assert.rejects(resolveCopies(fresh.catalog, { ...copies, backup: newest }), {
    code: 'refused',
    hint: /it is in volume/,
  });
  const question = { environment: 'acme', destination: 'second', before: startedAt };
  assert.deepEqual((await whatIsMissing(fresh.catalog, question)).missing, []);
  await recordCopy(fresh.catalog, { backupId: newest, destination: 'second', state: 'missing' });
  assert.deepEqual(await payableDebts(fresh.catalog, 'nightly'), []);
});

test('an empty database is made only where there is no backup that may be whole', async () => {
  assert.deepEqual(await ensure('fresh').then(({ choice, refusal }) => [choice, refusal]), [null, null]);
  const running = await rows.running('doubtful');
  assert.match(
    (await ensure('doubtful')).refusal?.message ?? '',
    new RegExp(`${running}, may be whole: still running`),
  );
  await finishBackup(fresh.catalog, {
    backupId: running,
    state: 'failed',
    error: { code: 'no-space', message: 'full' },
  });
  assert.equal((await ensure('doubtful')).refusal, null, 'it came to no dump');
  const failed = await rows.dumped('doubtful');
  const full = { code: 'no-space', message: 'full' } as const;
  await finishBackup(fresh.catalog, { backupId: failed, state: 'failed', error: full });
  assert.match((await ensure('doubtful')).refusal?.message ?? '', new RegExp(`${failed}, may be whole: failed: full`));
  await fresh.catalog.query(`UPDATE cofre.backups SET error_code = 'cancelled' WHERE id = $1`, [failed]);
  const id = await rows.verified('doubtful');
  await finishBackup(fresh.catalog, { backupId: id, state: 'complete' });
  for (const state of ['suspect', 'uploaded', 'missing', 'deleted']) {
    await fresh.catalog.query('UPDATE cofre.copies SET state = $2 WHERE backup_id = $1', [id, state]);
    const { choice, refusal } = await ensure('doubtful');
    assert.equal(choice, null);
    assert.equal(refusal?.code, state === 'deleted' ? undefined : 'refused', state);
  }
});
