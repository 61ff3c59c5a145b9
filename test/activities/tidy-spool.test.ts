import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';

import { Spool } from '../../activities/spool.ts';
import { tidySpool } from '../../activities/tidy-spool.ts';
import { finishBackup } from '../../catalog/backups.ts';
import { closeLost } from '../../catalog/lost-runs.ts';
import { finishRestore, startRestore } from '../../catalog/restores.ts';
import { BackupRows } from '../catalog/backup-rows.ts';
import { freshCatalog, type FreshCatalog } from '../catalog/fresh-catalog.ts';

let fresh: FreshCatalog;
let rows: BackupRows;
let spool: Spool;
let folder: string;
before(async () => {
  fresh = await freshCatalog();
  rows = new BackupRows(fresh.catalog);
});
after(() => fresh.drop());
beforeEach(async (context) => {
  folder = await mkdtemp(join(tmpdir(), 'cofre-spool-'));
  if ('after' in context) context.after(() => rm(folder, { recursive: true }));
  spool = new Spool(join(folder, 'spool'), '1%');
});

/** The files of one attempt: half a dump, a finished one (`dump.json`), or a finished archive (`manifest.json`). */
async function put(environment: string, id: string, ...names: string[]): Promise<void> {
  const attempt = await spool.create(environment, id, 'a1-00000000');
  for (const name of ['toc.dat', ...names]) await writeFile(join(attempt, name), 'x');
}

const failed = (backupId: string, code = 'run-lost'): Promise<unknown> =>
  finishBackup(fresh.catalog, { backupId, state: 'failed', error: { code, message: 'no' } });

test('leaves what belongs to a run that is open, and removes what a closed one has left', async () => {
  const [open, lost, cancelled] = [await rows.running('a'), await rows.running('a'), await rows.running('a')];
  await closeLost(fresh.catalog, { kind: 'backup', id: lost }, { code: 'run-lost', message: 'no' });
  await failed(cancelled, 'cancelled');
  await put('a', open, 'dump.json', 'manifest.json');
  await put('a', lost, 'dump.json');
  await put('a', cancelled, 'dump.json', 'manifest.json');
  const { removed, kept } = await tidySpool(spool, fresh.catalog);
  assert.deepEqual(removed, [`a/${lost}`, `a/${cancelled}`].sort());
  assert.deepEqual(kept, []);
  assert.deepEqual(await spool.entries('a'), [open]);
});

test('keeps the archive that is the only copy of its backup, until a later one of the environment is verified', async () => {
  const only = await rows.dumped('b');
  await failed(only);
  await put('b', only, 'dump.json', 'manifest.json');
  const first = await tidySpool(spool, fresh.catalog);
  assert.deepEqual(first.removed, []);
  assert.match(first.kept.join(), new RegExp(`${only}: the only copy`));
  const later = await rows.verified('b');
  await finishBackup(fresh.catalog, { backupId: later, state: 'complete', error: null });
  assert.deepEqual((await tidySpool(spool, fresh.catalog)).removed, [`b/${only}`]);
});

test('keeps an archive whose verified copy was lost again, and removes it where the copy is there', async () => {
  const [good, bad] = [await rows.verified('c'), await rows.verified('c2')];
  for (const backupId of [good, bad]) await finishBackup(fresh.catalog, { backupId, state: 'complete', error: null });
  await fresh.catalog.query(`UPDATE cofre.copies SET state = 'suspect' WHERE backup_id = $1`, [bad]);
  await put('c', good, 'dump.json', 'manifest.json');
  await put('c2', bad, 'dump.json', 'manifest.json');
  const { removed, kept } = await tidySpool(spool, fresh.catalog);
  assert.deepEqual(removed, [`c/${good}`]);
  assert.equal(kept.length, 1);
});

test('of a backup that the catalog does not know, removes only half a dump that is older than a day', async () => {
  const [dump, half, old] = ['20261101T000000Z-0000000a', '20261101T000000Z-0000000b', '20261101T000000Z-0000000c'];
  await put('d', dump, 'dump.json');
  await put('d', half);
  await put('d', old);
  const longAgo = new Date(Date.now() - 2 * 86_400_000);
  for (const path of ['a1-00000000/toc.dat', 'a1-00000000', '.'])
    await utimes(join(spool.path, 'd', old, path), longAgo, longAgo);
  const { removed, kept } = await tidySpool(spool, fresh.catalog);
  assert.deepEqual(removed, [`d/${old}`]);
  assert.match(kept.join(), new RegExp(`${dump}: .*does not know`));
  // A folder of another environment than the catalog's says is not the catalog's backup.
  const known = await rows.verified('e');
  await finishBackup(fresh.catalog, { backupId: known, state: 'complete', error: null });
  await put('d', known, 'dump.json');
  assert.match((await tidySpool(spool, fresh.catalog)).kept.join(), new RegExp(`d/${known}: .*does not know`));
});

test('removes what a restore that has ended had fetched, and nothing that is not a run’s folder', async () => {
  const ids = ['r20261101T000000Z-0000000a', 'r20261101T000000Z-0000000b'];
  for (const id of ids) {
    await startRestore(fresh.catalog, {
      ...{ id, environment: 'f', workflowId: 'w', runId: 'r', requestedBy: 'ana' },
      startedAt: '2026-11-01T00:00:00.000Z',
    });
    await put('f', id);
  }
  await finishRestore(fresh.catalog, ids[0] ?? '', { state: 'failed' });
  await mkdir(join(spool.path, 'f', 'notes-of-ana'));
  await symlink(folder, join(spool.path, 'f', '20261101T000000Z-0000000d'));
  await writeFile(join(spool.path, 'readme'), 'x');
  const longAgo = new Date(Date.now() - 2 * 86_400_000);
  await utimes(join(spool.path, 'f', 'notes-of-ana'), longAgo, longAgo);
  const { removed, kept } = await tidySpool(spool, fresh.catalog);
  assert.deepEqual(removed, [`f/${ids[0]}`]);
  assert.match(kept.join(), /notes-of-ana: somebody else/);
  assert.deepEqual(await spool.entries('f'), ['20261101T000000Z-0000000d', 'notes-of-ana', ids[1]]);
});
