import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { compareDestination } from '../../activities/compare-destination.ts';
import type { Comparison } from '../../activities/differences.ts';
import { newBackupId, objectPrefix } from '../../catalog/backup-id.ts';
import { finishBackup, recordCopy } from '../../catalog/backups.ts';
import { getBackup } from '../../catalog/backup-list.ts';
import { storeConfiguration } from '../../catalog/configurations.ts';
import { copiesIn, markCopy, replaceSuspect } from '../../catalog/copies-in.ts';
import type { Manifest } from '../../catalog/manifest.ts';
import { storeManifest } from '../../catalog/manifests.ts';
import { manifestBytes } from '../../catalog/parse-manifest.ts';
import type { Destination } from '../../destinations/destination.ts';
import { DirectoryDestination } from '../../destinations/directory/directory.ts';
import { prepareDirectory } from '../../destinations/directory/marker.ts';
import { bytesBody } from '../../destinations/local-file.ts';
import { s3Place } from '../../destinations/s3/place.ts';
import { S3Destination } from '../../destinations/s3/s3.ts';
import { BackupRows } from '../catalog/backup-rows.ts';
import { freshCatalog, type FreshCatalog } from '../catalog/fresh-catalog.ts';
import { sampleManifest } from '../catalog/sample-manifest.ts';
import { isLong } from '../long.ts';
import { S3Server } from '../s3-server.ts';

const OBJECT = Buffer.from('what was dumped');

let fresh: FreshCatalog;
let rows: BackupRows;
let root: string;
let folder: string;
let made = 0;
/** Of this test alone. */
let place: string;

before(async () => {
  fresh = await freshCatalog();
  rows = new BackupRows(fresh.catalog);
  root = await mkdtemp(join(tmpdir(), 'cofre-compare-'));
  const login = { user: 'u', password: 'env:P' };
  const environment = { stage: 'production', customer: 'acme', policy: 'standard' };
  await storeConfiguration(fresh.catalog, {
    document: {
      hosts: { h1: { spool: '/spool' } },
      servers: { pg: { host: '127.0.0.1', backup: login, admin: login } },
      destinations: { volume: { type: 'directory', path: '/backups', shared: true } },
      policies: { standard: { copies: { to: ['volume'] } } },
      environments: { 'acme-prod': { ...environment, database: { server: 'pg', name: 'acme', owner: 'acme' } } },
      routines: {},
    },
    ...{ digest: 'd'.repeat(64), basedOn: null, force: false, appliedBy: 'test' },
  });
});
after(async () => {
  await fresh.drop();
  await rm(root, { recursive: true });
});
beforeEach(async () => {
  made += 1;
  place = `place-${made}`;
  folder = join(root, place);
  await mkdir(folder);
  await prepareDirectory(folder);
});

function manifestOf(backupId: string, change: Partial<Manifest> = {}): Manifest {
  const { sizeBytes, sha256 } = bytesBody(OBJECT);
  const objects = [{ key: 'a1-1/database.tar', sizeBytes, sha256 }];
  return { ...sampleManifest(backupId), attempt: 'a1-1', objects, ...change };
}

async function store(
  destination: Destination,
  manifest: Manifest,
  environment = manifest.environment.id,
): Promise<void> {
  const prefix = objectPrefix(environment, manifest.backupId);
  await destination.put(`${prefix}a1-1/database.tar`, bytesBody(OBJECT));
  await destination.put(`${prefix}manifest.json`, bytesBody(manifestBytes(manifest)));
}

/** A whole backup, in the catalog and in the destination. */
async function backUp(destination: Destination = new DirectoryDestination(place, folder)): Promise<string> {
  const id = await rows.verified('acme-prod');
  await fresh.catalog.query('UPDATE cofre.copies SET destination = $2 WHERE backup_id = $1', [id, place]);
  await storeManifest(fresh.catalog, manifestOf(id));
  await finishBackup(fresh.catalog, { backupId: id, state: 'complete' });
  await store(destination, manifestOf(id));
  return id;
}

/** An id that no row has. */
function unknownId(): string {
  made += 1;
  return newBackupId(new Date(Date.UTC(2026, 5, 1, 0, made)), made.toString(16).padStart(8, '0'));
}

async function compare(
  open: () => Destination = () => new DirectoryDestination(place, folder),
  onProgress: (doing: string) => void = () => undefined,
): Promise<Comparison> {
  return await compareDestination({
    catalog: fresh.catalog,
    destination: place,
    workflowId: 'syncCatalog/test/1',
    runId: 'run',
    isOthers: () => false,
    signal: new AbortController().signal,
    onProgress,
    open: async (use) => {
      const destination = open();
      try {
        return await use(destination);
      } finally {
        await destination.close();
      }
    },
  });
}

function told({ differences }: Comparison): string[] {
  return differences.map(({ kind, backupId, what }) => `${kind} ${backupId ?? '-'}: ${what}`).sort();
}

async function stateOf(id: string): Promise<string | undefined> {
  return (await getBackup(fresh.catalog, id)).copies.find(({ destination }) => destination === place)?.state;
}

function file(id: string, name = 'a1-1/database.tar'): string {
  return join(folder, 'acme-prod', id, name);
}

/** The destination with another list: what a driver cannot be made to do from outside. */
function withList(list: (real: Destination) => AsyncIterable<{ key: string; sizeBytes: number }>): () => Destination {
  return () => {
    const real = new DirectoryDestination(place, folder);
    return Object.assign(real, { list: list.bind(undefined, new DirectoryDestination(place, folder)) });
  };
}

test('case 69: a row without an object, and an object without a row, are both told, and nothing is removed', async () => {
  const [gone, whole] = [await backUp(), await backUp()];
  // The catalog's own backups are nobody's copies.
  await new DirectoryDestination(place, folder).put(
    '_catalog/20261120T210000Z-1f3a9c04/catalog.json',
    bytesBody(OBJECT),
  );
  await rm(join(folder, 'acme-prod', gone), { recursive: true });
  const id = unknownId();
  await store(new DirectoryDestination(place, folder), manifestOf(id));
  const { compared, ...found } = await compare();
  assert.equal(compared, 2);
  assert.deepEqual(told({ compared, ...found }), [
    `imported ${id}: it is not proven yet`,
    `missing ${gone}: a1-1/database.tar is not there, manifest.json is not there`,
  ]);
  assert.deepEqual([await stateOf(gone), await stateOf(whole), await stateOf(id)], ['missing', 'verified', 'uploaded']);
  const imported = await getBackup(fresh.catalog, id);
  assert.deepEqual([imported.state, imported.rows, imported.workflowId], ['incomplete', 12, 'syncCatalog/test/1']);
  // The same once more: what is known stays, and what was imported is known.
  assert.equal(told(await compare()).length, 1);
});

test('what is damaged by size or manifest is suspect; an object beside it belongs to nothing', async () => {
  const [cut, changed, beside] = [await backUp(), await backUp(), await backUp()];
  await truncate(file(cut), 3);
  await writeFile(file(changed, 'manifest.json'), manifestBytes(manifestOf(changed, { host: 'somebody' })));
  await writeFile(file(beside, 'a1-1/more'), 'x');
  await writeFile(join(folder, 'database_latest.dump.gz'), 'old');
  assert.deepEqual(
    told(await compare()),
    [
      `damaged ${cut}: a1-1/database.tar has 3 bytes and should have ${OBJECT.length}`,
      `damaged ${changed}: manifest.json is another one`,
      'extra -: database_latest.dump.gz, 3 bytes',
      `extra ${beside}: acme-prod/${beside}/a1-1/more, 1 bytes`,
    ].sort(),
  );
  assert.deepEqual(
    [await stateOf(cut), await stateOf(changed), await stateOf(beside)],
    ['suspect', 'suspect', 'verified'],
  );
});

test('a manifest of a time to come, or of none that there is, is not taken: it would be the latest', async () => {
  const destination = new DirectoryDestination(place, folder);
  const ahead = new Date(Date.now() + 86_400_000).toISOString();
  const [byName, byData, noTime] = [newBackupId(new Date(ahead), 'deadbeef'), unknownId(), unknownId()];
  const noDay = '20261399T210000Z-deadbeef';
  for (const id of [byName, noDay]) await store(destination, manifestOf(id));
  await store(destination, manifestOf(byData, { snapshotAt: ahead }));
  const folderOf = join(folder, 'acme-prod', noTime);
  await mkdir(folderOf, { recursive: true });
  const text = manifestBytes(manifestOf(noTime))
    .toString()
    .replaceAll(/": "2026-/g, '": "0000-');
  await writeFile(join(folderOf, 'manifest.json'), text);
  const whole = await backUp();
  const { compared, ...found } = await compare();
  assert.equal(compared, 1);
  assert.deepEqual(
    told({ compared, ...found }).map((line) => line.replace(/ \(20.*/, '')),
    [
      `refused ${byName}: its data are of 2026-11-20T21:00:01.250Z, a time to come by the clock here`,
      `refused ${noDay}: its data are of 2026-11-20T21:00:01.250Z, a time to come by the clock here`,
      `refused ${byData}: its data are of ${ahead}, a time to come by the clock here`,
      `refused ${noTime}: the manifest is not valid: startedAt: a time from the year 1970 on, and 2 more`,
    ].sort(),
  );
  assert.equal(await stateOf(whole), 'verified');
});

test('manifests that are not valid, or of others, are told with the reason and not taken', async () => {
  const destination = new DirectoryDestination(place, folder);
  const { environment } = sampleManifest('20261120T210000Z-1f3a9c04');
  const [broken, foreign, moved, other, unknown, twin] = [
    unknownId(),
    unknownId(),
    unknownId(),
    unknownId(),
    unknownId(),
    await backUp(),
  ];
  await mkdir(join(folder, 'acme-prod', broken), { recursive: true });
  await writeFile(file(broken, 'manifest.json'), '{"format": 1, ');
  await store(destination, manifestOf(foreign, { environment: { ...environment, customer: 'somebody' } }));
  await store(destination, manifestOf(moved), 'acme-hml');
  await store(destination, manifestOf(unknown, { environment: { ...environment, id: 'gone-prod' } }));
  // Of a backup that is known, with another content, in a destination that had no copy of it.
  await store(destination, manifestOf(other));
  await compare();
  await fresh.catalog
    .query('DELETE FROM cofre.copies WHERE backup_id = $1 AND destination = $2', [twin, place])
    .catch(() => undefined);
  const result = told(await compare());
  assert.equal(result.length, 4, result.join('\n'));
  assert.match(result.join('\n'), new RegExp(`refused ${broken}: the manifest is not JSON`));
  assert.match(
    result.join('\n'),
    new RegExp(`refused ${foreign}: it is a backup of another acme-prod: production of somebody`),
  );
  assert.match(result.join('\n'), new RegExp(`refused ${moved}: its manifest is that of acme-prod/${moved}/`));
  assert.match(result.join('\n'), new RegExp(`refused ${unknown}: this installation has no environment gone-prod`));
  for (const id of [broken, foreign, moved, unknown])
    await assert.rejects(getBackup(fresh.catalog, id), { code: 'not-known' });
});

test('a volume that is changed for another one in the middle marks nothing', async () => {
  const id = await backUp();
  const otherFolder = `${folder}-other`;
  await mkdir(otherFolder);
  await prepareDirectory(otherFolder);
  let swapped = false;
  const open = withList(async function* (real) {
    for await (const object of real.list('')) {
      if (!swapped) {
        swapped = true;
        await rename(folder, `${folder}-away`);
        await rename(otherFolder, folder);
      }
      if (object === undefined) yield object;
    }
  });
  await assert.rejects(compare(open), { code: 'not-mounted', message: /another place is mounted as/ });
  assert.equal(await stateOf(id), 'verified');
});

test('case 52: what a list does not show, or shows late, is looked for by itself before it counts as missing', async () => {
  const ids = [await backUp(), await backUp(), await backUp()];
  await rm(join(folder, 'acme-prod', ids[1] ?? ''), { recursive: true });
  const cutOff = withList(async function* (real) {
    for await (const object of real.list('')) if (object.key.includes('nothing')) yield object;
  });
  assert.deepEqual(told(await compare(cutOff)), [
    `missing ${ids[1]}: a1-1/database.tar is not there, manifest.json is not there`,
  ]);
  assert.deepEqual([await stateOf(ids[0] ?? ''), await stateOf(ids[2] ?? '')], ['verified', 'verified']);
});

test('what is under way, being published or deleted meanwhile is no difference', async () => {
  const destination = new DirectoryDestination(place, folder);
  const running = await rows.dumped('acme-prod');
  await destination.put(`${objectPrefix('acme-prod', running)}a1-1/database.tar`, bytesBody(OBJECT));
  const copied = await backUp();
  await rm(file(copied, 'manifest.json'));
  await fresh.catalog.query(`UPDATE cofre.copies SET state = 'uploaded' WHERE backup_id = $1`, [copied]);
  const deleting = await backUp();
  await rm(file(deleting, 'manifest.json'));
  await recordCopy(fresh.catalog, { backupId: deleting, destination: place, state: 'deleting' });
  const published = await rows.verified('acme-prod');
  await fresh.catalog.query('UPDATE cofre.copies SET destination = $2 WHERE backup_id = $1', [published, place]);
  await storeManifest(fresh.catalog, manifestOf(published));
  await finishBackup(fresh.catalog, { backupId: published, state: 'complete' });
  // It comes while the list is made, behind it.
  const late = withList(async function* (real) {
    yield* real.list('');
    await store(real, manifestOf(published));
  });
  assert.deepEqual(told(await compare(late)), []);
  assert.equal(await stateOf(published), 'verified');
});

test('a row that changed since it was read is not marked, and the last copy of a backup is never replaced', async () => {
  const id = await backUp();
  const [copy] = (await copiesIn(fresh.catalog, place, { after: '', limit: 10 })).filter((one) => one.backupId === id);
  assert.ok(copy);
  await recordCopy(fresh.catalog, { backupId: id, destination: place, state: 'suspect' });
  assert.equal(await markCopy(fresh.catalog, { ...copy, destination: place }, 'missing', null), false);
  assert.equal(await stateOf(id), 'suspect');
  let removed = 0;
  const replace = (): Promise<string> =>
    replaceSuspect(fresh.catalog, { backupId: id, destination: place }, async () => void (removed += 1));
  assert.deepEqual([await replace(), removed], ['last', 0]);
  await rows.verify(id, 'elsewhere');
  assert.deepEqual([await replace(), removed, await stateOf(id)], ['removed', 1, 'missing']);
  assert.deepEqual([await replace(), removed], ['changed', 1]);
});

test('a bucket is compared over many pages of its list', async () => {
  const server = await S3Server.start();
  try {
    const config = await server.bucket({ prefix: 'p' });
    await s3Place(config).prepare();
    const open = (): Destination => new S3Destination(place, config, { pageSize: 3 });
    const bucket = open();
    const ids: string[] = [];
    for (let count = 0; count < 5; count += 1) ids.push(await backUp(bucket));
    await bucket.remove(`${objectPrefix('acme-prod', ids[1] ?? '')}a1-1/database.tar`);
    const unknown = unknownId();
    await store(bucket, manifestOf(unknown));
    assert.deepEqual(told(await compare(open)), [
      `imported ${unknown}: it is not proven yet`,
      `missing ${ids[1]}: a1-1/database.tar is not there`,
    ]);
    await bucket.close();
  } finally {
    await server.stop();
  }
});

test('many backups take little memory, and what is told of them stays small', async () => {
  const many = isLong ? 100_000 : 2_000;
  const sample = manifestOf('20260101T000000Z-00000000');
  await fresh.catalog.query(
    `INSERT INTO cofre.backups (id, environment, kind, mode, state, workflow_id, run_id, config_version, started_at, finished_at)
     SELECT '20250101T000000Z-' || lpad(to_hex(g), 8, '0'), 'acme-prod', 'database', 'full', 'complete', 'w', 'r', 1, now(), now()
     FROM generate_series(1, $1) g`,
    [many],
  );
  const added = `backup_id IN (SELECT id FROM cofre.backups WHERE workflow_id = 'w')`;
  await fresh.catalog.query(
    `INSERT INTO cofre.manifests SELECT id, $1, now(), jsonb_build_object('objects', $2::jsonb) FROM cofre.backups WHERE workflow_id = 'w'`,
    ['a'.repeat(64), JSON.stringify(sample.objects)],
  );
  await fresh.catalog.query(
    `INSERT INTO cofre.copies (backup_id, destination, state) SELECT id, $1, 'missing' FROM cofre.backups WHERE workflow_id = 'w'`,
    [place],
  );
  // Listed and gone by the time somebody looks at each.
  const listed = withList(async function* () {
    for (let count = 1; count <= many; count += 1) {
      const prefix = `acme-prod/20250101T000000Z-${count.toString(16).padStart(8, '0')}/`;
      yield { key: `${prefix}manifest.json`, sizeBytes: 1 };
      yield { key: `${prefix}a1-1/database.tar`, sizeBytes: 1 };
    }
    await Promise.resolve();
  });
  // Live memory: what waits to be collected is nobody's.
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const live = (): number => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  const before = live();
  let most = before;
  const found = await compare(listed, (doing) => {
    if (/(000|500) copies/.test(doing)) most = Math.max(most, live());
  });
  assert.equal(found.counts.missing, many);
  assert.equal(found.differences.length, 20);
  assert.ok(JSON.stringify(found).length < 10_000);
  assert.ok(most - before < 100e6, `${Math.round((most - before) / 1e6)} MB`);
  console.error(`compared ${many} copies with ${Math.round((most - before) / 1e6)} MB more`);
  await fresh.catalog.query(`UPDATE cofre.copies SET state = 'deleted' WHERE ${added}`);
});
