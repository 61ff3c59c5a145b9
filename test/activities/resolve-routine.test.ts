import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { resolveRoutine, type RoutineRequest } from '../../activities/resolve-routine.ts';
import { storeConfiguration } from '../../catalog/configurations.ts';
import { BackupRows } from '../catalog/backup-rows.ts';
import { freshCatalog, type FreshCatalog } from '../catalog/fresh-catalog.ts';

let fresh: FreshCatalog;
/** Backups begin at 01:00, 02:00, … on the 1st of November 2026, UTC: of `early` before the slot, of `late` after it. */
before(async () => {
  fresh = await freshCatalog();
  const rows = new BackupRows(fresh.catalog);
  await rows.verified('early');
  await rows.verified('late');
  await fresh.catalog.query(`UPDATE cofre.backups SET state = 'complete', finished_at = started_at`);
  await rows.running('never');
  const login = { user: 'u', password: 'env:P' };
  const environment = (name: string): object => ({
    ...{ stage: 'production', customer: 'acme', policy: 'standard' },
    database: { server: 'pg', name, owner: name },
  });
  const routine = { at: '23:30', timezone: 'Africa/Cairo', run: 'backupDatabase' };
  await storeConfiguration(fresh.catalog, {
    document: {
      hosts: { h1: { spool: '/spool' } },
      servers: { pg: { host: '127.0.0.1', backup: login, admin: login } },
      destinations: { volume: { type: 'directory', path: '/backups', shared: true } },
      policies: { standard: { copies: { to: ['volume'] } } },
      environments: { early: environment('early'), late: environment('late'), never: environment('never') },
      routines: { nightly: { ...routine, at: '03:30', timezone: 'Africa/Cairo' }, midnight: routine },
    },
    ...{ digest: 'd'.repeat(64), basedOn: null, force: false, appliedBy: 'test' },
  });
});
after(() => fresh.drop());

async function environmentsOf(request: Omit<RoutineRequest, 'routine'>, routine = 'nightly'): Promise<string[]> {
  const plan = await resolveRoutine(fresh.catalog, { routine, ...request });
  return plan.environments.map(({ environment }) => environment);
}

test('a night is every environment; of what is missing, those without a verified backup since the last slot', async () => {
  const startedAt = '2026-11-01T04:00:00.000Z';
  assert.deepEqual(await environmentsOf({ startedAt, scheduledAt: startedAt }), ['early', 'late', 'never']);
  // 03:30 in Cairo, which has put its clocks back two days before, is 01:30 UTC.
  assert.deepEqual(await environmentsOf({ startedAt, missing: true }), ['early', 'never']);
});

test('case 74: a start at a time that clocks show a second time makes only what is missing since the first', async () => {
  // On the 29th of October 2026 clocks in Cairo show 23:30 at 20:30 UTC, and once more an hour later.
  await fresh.catalog.query(
    `UPDATE cofre.backups SET started_at = '2026-10-29T20:30:05Z', finished_at = '2026-10-29T20:31:00Z' WHERE environment = 'late'`,
  );
  const at = async (time: string): Promise<string[]> =>
    await environmentsOf({ startedAt: time, scheduledAt: time }, 'midnight');
  assert.deepEqual(await at('2026-10-29T20:30:00.000Z'), ['early', 'late', 'never']);
  assert.deepEqual(await at('2026-10-29T21:30:00.000Z'), ['never']);
});
