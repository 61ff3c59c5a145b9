import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { configurationVersion, currentConfiguration, storeConfiguration } from '../../catalog/configurations.ts';
import {
  consecutiveFailures,
  finishRestore,
  lastRestores,
  recordRestore,
  startRestore,
} from '../../catalog/restores.ts';
import { acceptServer, recordedServer, recordServer } from '../../catalog/servers.ts';
import { freshCatalog, type FreshCatalog } from './fresh-catalog.ts';

let fresh: FreshCatalog;
before(async () => (fresh = await freshCatalog()));
after(() => fresh.drop());

const configuration = (digit: string, basedOn: number | null) => ({
  document: { hosts: {}, digit },
  digest: digit.repeat(64),
  basedOn,
  force: false,
  appliedBy: 'ana',
});

test('configurations are numbered, unchanged ones are not stored again, and stale ones are refused', async () => {
  const { catalog } = fresh;
  await assert.rejects(currentConfiguration(catalog), { code: 'not-known', hint: 'cofre apply' });
  assert.deepEqual(await storeConfiguration(catalog, configuration('a', null)), { version: 1, changed: true });
  assert.deepEqual(await storeConfiguration(catalog, configuration('a', null)), { version: 1, changed: false });
  assert.deepEqual(await storeConfiguration(catalog, configuration('b', 1)), { version: 2, changed: true });
  await assert.rejects(storeConfiguration(catalog, configuration('c', 1)), {
    code: 'refused',
    message: /builds on version 1.*2/,
  });
  await assert.rejects(storeConfiguration(catalog, configuration('c', null)), { code: 'refused' });
  assert.equal((await storeConfiguration(catalog, { ...configuration('c', 1), force: true })).version, 3);
  const current = await currentConfiguration(catalog);
  assert.deepEqual([current.version, current.document], [3, { hosts: {}, digit: 'c' }]);
  assert.equal((await configurationVersion(catalog, 1)).digest, 'a'.repeat(64));
  await assert.rejects(configurationVersion(catalog, 99), { code: 'not-known' });
});

test('of two people who apply at the same moment one wins and the other is told', async () => {
  const { version } = await currentConfiguration(fresh.catalog);
  const outcomes = await Promise.allSettled(
    ['1', '2', '3', '4'].map((digit) => storeConfiguration(fresh.catalog, configuration(digit, version))),
  );
  assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1);
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected') assert.equal((outcome.reason as { code: string }).code, 'refused');
  }
});

const restore = (id: string) => ({
  id,
  environment: 'acme-prod',
  filePath: '/dumps/database_latest.dump.gz',
  workflowId: 'op/acme-prod',
  runId: id,
  requestedBy: 'ana',
  reason: 'the table is gone',
  startedAt: `2026-11-20T21:00:0${id}.000Z`,
});

test('a restore is recorded step by step, and ends once', async () => {
  const { catalog } = fresh;
  assert.equal(await startRestore(catalog, restore('1')), 'running');
  assert.equal(await startRestore(catalog, restore('1')), 'running');
  await assert.rejects(startRestore(catalog, { ...restore('1'), runId: 'another' }), { code: 'refused' });
  await recordRestore(catalog, '1', { host: 'erp-01', phases: { fetch: 120 }, newOid: 4_000_000_000 });
  await recordRestore(catalog, '1', { phases: { fetch: 130, data: 900 }, oldDatabase: 'acme_old', oldOid: 16384 });
  await finishRestore(catalog, '1', { state: 'restored', report: { equal: true } });
  await finishRestore(catalog, '1', { state: 'restored', report: { equal: false } });
  await assert.rejects(finishRestore(catalog, '1', { state: 'failed' }), { code: 'refused' });
  await assert.rejects(recordRestore(catalog, '1', { newOid: 1 }), { code: 'refused' });
  await assert.rejects(recordRestore(catalog, 'nothing', {}), { code: 'not-known' });
  const [found] = await lastRestores(catalog, 'acme-prod');
  assert.deepEqual(found?.phases, { fetch: 130, data: 900 });
  assert.deepEqual([found?.newOid, found?.oldOid, found?.oldDatabase], [4_000_000_000, 16384, 'acme_old']);
  assert.deepEqual(
    [found?.state, found?.report, found?.filePath],
    ['restored', { equal: true }, restore('1').filePath],
  );
});

test('failures in a row are counted from the last success; refusals and cancels do not count', async () => {
  const { catalog } = fresh;
  for (const [id, state] of [
    ['2', 'failed'],
    ['3', 'refused'],
    ['4', 'failed'],
    ['5', 'cancelled'],
  ] as const) {
    await startRestore(catalog, restore(id));
    await finishRestore(catalog, id, { state, error: { code: 'no-space', message: 'full' } });
  }
  await startRestore(catalog, restore('6'));
  assert.equal(await consecutiveFailures(catalog, 'acme-prod'), 2);
  await finishRestore(catalog, '6', { state: 'restored' });
  assert.equal(await consecutiveFailures(catalog, 'acme-prod'), 0);
  assert.equal(await consecutiveFailures(catalog, 'other'), 0);
  assert.deepEqual(
    (await lastRestores(catalog, 'acme-prod', 2)).map(({ id }) => id),
    ['6', '5'],
  );
});

test('the first server is recorded, another only by word of a person', async () => {
  const { catalog } = fresh;
  const first = { systemIdentifier: '7412345678901234567', server: 'pg-01', version: '15.19' };
  const other = { systemIdentifier: '7499999999999999999', server: 'pg-01', version: '16.2' };
  assert.equal(await recordedServer(catalog, 'acme-prod'), undefined);
  const recorded = await Promise.all([1, 2, 3].map(() => recordServer(catalog, 'acme-prod', first)));
  assert.ok(recorded.every(({ systemIdentifier }) => systemIdentifier === first.systemIdentifier));
  assert.equal((await recordServer(catalog, 'acme-prod', other)).systemIdentifier, first.systemIdentifier);
  assert.equal((await recordServer(catalog, 'acme-prod', { ...first, version: '15.20' })).version, '15.20');
  const accepted = await acceptServer(catalog, 'acme-prod', other, 'ana');
  assert.deepEqual([accepted.systemIdentifier, accepted.acceptedBy], [other.systemIdentifier, 'ana']);
  await acceptServer(catalog, 'acme-prod', other, 'ana');
  assert.equal((await recordServer(catalog, 'acme-prod', first)).systemIdentifier, other.systemIdentifier);
  const history = await catalog.query('SELECT number FROM cofre.servers WHERE environment = $1', ['acme-prod']);
  assert.equal(history.length, 3);
});
