import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { resolveEnsure } from '../../activities/resolve-restore.ts';
import { finishBackup } from '../../catalog/backups.ts';
import { storeConfiguration } from '../../catalog/configurations.ts';
import { BackupRows } from '../catalog/backup-rows.ts';
import { freshCatalog, type FreshCatalog } from '../catalog/fresh-catalog.ts';

let fresh: FreshCatalog;
before(async () => {
  fresh = await freshCatalog();
  const login = { user: 'u', password: 'env:P' };
  const database = { server: 'pg', name: 'acme', owner: 'acme' };
  await storeConfiguration(fresh.catalog, {
    document: {
      hosts: { h1: { spool: '/spool' } },
      servers: { pg: { host: '127.0.0.1', backup: login, admin: login } },
      destinations: { second: { type: 'directory', path: '/backups', shared: true } },
      policies: { standard: { copies: { to: ['second'] } } },
      environments: { acme: { stage: 'production', customer: 'acme', policy: 'standard', database } },
      routines: {},
    },
    ...{ digest: 'd'.repeat(64), basedOn: null, force: false, appliedBy: 'test' },
  });
});
after(() => fresh.drop());

test('a newest backup that is only where the configuration leads no more is named, and where it is; none older is taken', async () => {
  const rows = new BackupRows(fresh.catalog);
  const older = await rows.verified('acme');
  await rows.verify(older, 'second');
  const newest = await rows.verified('acme');
  for (const backupId of [older, newest]) await finishBackup(fresh.catalog, { backupId, state: 'complete' });
  const startedAt = '2026-11-02T00:00:00Z';
  const request = { restoreId: 'r1', to: 'acme', workflowId: 'w', runId: 'r', startedAt };
  await assert.rejects(resolveEnsure(fresh.catalog, request), {
    code: 'no-backup',
    message: new RegExp(newest),
    hint: /it is in volume, .*put it back/,
  });
});
