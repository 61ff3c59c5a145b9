import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';

import { compareHold } from '../../activities/compare-hold.ts';
import { Differences } from '../../activities/differences.ts';
import { layHold } from '../../activities/hold-file.ts';
import { finishBackup } from '../../catalog/backups.ts';
import { holdBytes, type Hold } from '../../catalog/hold.ts';
import { confirmHolds } from '../../catalog/hold-confirmations.ts';
import { beginRelease, endRelease, liveHold, setHold } from '../../catalog/holds.ts';
import { DirectoryDestination } from '../../destinations/directory/directory.ts';
import { prepareDirectory } from '../../destinations/directory/marker.ts';
import { BackupRows } from '../catalog/backup-rows.ts';
import { freshCatalog, type FreshCatalog } from '../catalog/fresh-catalog.ts';

let fresh: FreshCatalog;
let rows: BackupRows;
let root: string;
let place: DirectoryDestination;
let id: string;
const { signal } = new AbortController();

before(async () => {
  fresh = await freshCatalog();
  rows = new BackupRows(fresh.catalog);
  root = await mkdtemp(join(tmpdir(), 'cofre-hold-'));
  await prepareDirectory(root);
  place = new DirectoryDestination('volume', root);
});
after(async () => {
  await fresh.drop();
  await rm(root, { recursive: true });
});
beforeEach(async () => {
  id = await rows.verified('acme-prod');
  await finishBackup(fresh.catalog, { backupId: id, state: 'complete' });
  await mkdir(folder(), { recursive: true });
});

const folder = (): string => join(root, 'acme-prod', id);
const file = (): string => join(folder(), 'hold.json');
const copy = () => ({ environment: 'acme-prod', backupId: id, destination: 'volume' });

function holdFor(days: number): Hold {
  const until = new Date(Date.now() + days * 86_400_000).toISOString();
  const of = { backupId: id, environment: 'acme-prod' };
  return { id: randomUUID(), ...of, reason: 'a court', until, setBy: 'ana@erp-01', setAt: new Date().toISOString() };
}

async function compare(): Promise<string[]> {
  const differences = new Differences('volume');
  await compareHold({ catalog: fresh.catalog, place, signal, differences }, copy());
  return differences.report({ compared: 1, moreElsewhere: 0 }).differences.map(({ what }) => what);
}

async function written(): Promise<string> {
  return await readFile(file(), 'utf8').catch(() => 'nothing');
}

test('a hold is laid beside its copy, replaced when it is extended, and gone when it is released', async () => {
  const first = holdFor(1);
  await setHold(fresh.catalog, first);
  await layHold(fresh.catalog, place, copy(), signal);
  await layHold(fresh.catalog, place, copy(), signal);
  assert.equal(await written(), holdBytes(first).toString());
  const longer = holdFor(2);
  await setHold(fresh.catalog, longer);
  await layHold(fresh.catalog, place, copy(), signal);
  assert.equal(await written(), holdBytes(longer).toString());
  assert.deepEqual(await compare(), []);
  await beginRelease(fresh.catalog, id, 'ana@erp-01');
  assert.match((await compare()).join(), /its release has not come to this one/);
  await layHold(fresh.catalog, place, copy(), signal);
  assert.equal(await written(), 'nothing');
  assert.deepEqual(await compare(), []);
  await endRelease(fresh.catalog, id, longer.id);
});

test('a file that is missing, cut to an earlier end or of an older hold is written again', async () => {
  const hold = holdFor(2);
  await setHold(fresh.catalog, hold);
  assert.deepEqual(await compare(), ['hold.json was not there; it was written']);
  assert.equal(await written(), holdBytes(hold).toString());
  for (const other of [{ ...hold, until: new Date(Date.now() + 1_000).toISOString() }, holdFor(1)]) {
    await writeFile(file(), holdBytes(other));
    assert.deepEqual(await compare(), ['hold.json was another one; it was written']);
    assert.equal(await written(), holdBytes(hold).toString());
  }
  assert.deepEqual(await compare(), []);
});

test('a hold that the catalog does not know is taken; one that was released here stays where it is and is told', async () => {
  const hold = holdFor(1);
  await writeFile(file(), holdBytes(hold));
  assert.match((await compare()).join(), /held until .* by ana@erp-01, which the catalog did not know: a court/);
  assert.deepEqual(await compare(), []);
  assert.equal((await liveHold(fresh.catalog, id))?.foundIn, 'volume');
  await beginRelease(fresh.catalog, id, 'ana@erp-01');
  await endRelease(fresh.catalog, id, hold.id);
  assert.match((await compare()).join(), /of a hold that was released: cofre release .* removes it/);
  assert.equal(await written(), holdBytes(hold).toString());
  await layHold(fresh.catalog, place, copy(), signal);
  assert.equal(await written(), 'nothing');
  await confirmHolds(fresh.catalog, 'ana@erp-01');
});

test('what is in the way of the file is told of this one, and the rest of the destination goes on', async () => {
  await setHold(fresh.catalog, holdFor(1));
  await mkdir(file());
  assert.match((await compare()).join(), /hold\.json was not there, and it could not be written: .* another object/);
  await rm(file(), { recursive: true });
  assert.deepEqual(await compare(), ['hold.json was not there; it was written']);
});

test('a file that cannot be read holds the backup and is left as it is, until a hold or a release replaces it', async () => {
  await writeFile(file(), 'x'.repeat(20_000));
  assert.match(
    (await compare()).join(),
    /cannot be read: it is larger than 16384 bytes; it is held until somebody releases/,
  );
  await layHold(fresh.catalog, place, copy(), signal);
  assert.equal((await stat(file())).size, 20_000);
  assert.match((await compare()).join(), /^hold\.json cannot be read: it is larger than 16384 bytes$/);
  const hold = holdFor(1);
  await setHold(fresh.catalog, hold);
  await layHold(fresh.catalog, place, copy(), signal);
  assert.equal(await written(), holdBytes(hold).toString());
  await confirmHolds(fresh.catalog, 'ana@erp-01');
});

test('a destination that does not answer keeps no other one from its hold', async () => {
  await rows.verify(id, 'away');
  const hold = holdFor(1);
  await setHold(fresh.catalog, hold);
  const away = new DirectoryDestination('away', root);
  const cancelled = new AbortController();
  const asked = new Promise<void>((resolve) => {
    away.get = (_key, options = {}) =>
      new Promise((_, reject) => {
        resolve();
        options.signal?.addEventListener('abort', () => reject(options.signal?.reason as Error));
      });
  });
  const stalled = layHold(fresh.catalog, away, { ...copy(), destination: 'away' }, cancelled.signal);
  stalled.catch(() => undefined);
  await asked;
  await layHold(fresh.catalog, place, copy(), signal);
  assert.equal(await written(), holdBytes(hold).toString());
  const reason = new Error('the operator cancelled');
  cancelled.abort(reason);
  await assert.rejects(stalled, (error) => error === reason);
});

test('the hold of a backup that the catalog has forgotten stays', async () => {
  const forgotten = '20260101T000000Z-00000001';
  const lone = join(root, 'acme-prod', forgotten);
  await mkdir(lone);
  await writeFile(join(lone, 'hold.json'), holdBytes({ ...holdFor(1), backupId: forgotten }));
  await assert.rejects(layHold(fresh.catalog, place, { ...copy(), backupId: forgotten }, signal), {
    code: 'not-known',
  });
  assert.ok((await stat(join(lone, 'hold.json'))).isFile());
});
