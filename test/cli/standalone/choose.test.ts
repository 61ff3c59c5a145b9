import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';

import { objectPrefix } from '../../../catalog/backup-id.ts';
import { manifestBytes } from '../../../catalog/parse-manifest.ts';
import { chooseManifest, type Choice } from '../../../cli/standalone/choose.ts';
import type { Config } from '../../../config/schema.ts';
import { DirectoryDestination } from '../../../destinations/directory/directory.ts';
import { prepareDirectory } from '../../../destinations/directory/marker.ts';
import { sampleManifest } from '../../catalog/sample-manifest.ts';

const ENVIRONMENT = 'acme-prod';
const OWN = { [ENVIRONMENT]: { stage: 'production', customer: 'acme' } } as unknown as Config['environments'];

let root: string;
let folder: string;
let said: string[];
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'cofre-choose-'));
});
after(() => rm(root, { recursive: true }));
beforeEach(async () => {
  said = [];
  folder = await mkdtemp(join(root, 'place-'));
  await prepareDirectory(folder);
});

/** The backup of one night, with so many rows. */
async function night(day: number, rows: number, customer = 'acme'): Promise<string> {
  const id = idOf(day);
  const manifest = sampleManifest(id, ENVIRONMENT);
  const path = join(folder, objectPrefix(ENVIRONMENT, id));
  await mkdir(path, { recursive: true });
  const environment = { ...manifest.environment, customer };
  const content = { ...manifest.content, rows, rawBytes: rows * 100 };
  await writeFile(join(path, 'manifest.json'), manifestBytes({ ...manifest, environment, content }));
  return id;
}

/** Of the day with this number, counted from the first of January. */
function idOf(day: number): string {
  const date = new Date(Date.UTC(2026, 0, day)).toISOString().slice(0, 10).replaceAll('-', '');
  return `${date}T210000Z-1f3a9c04`;
}

async function choose(backup: string): Promise<Choice> {
  return await chooseManifest(new DirectoryDestination('volume', folder), {
    ...{ environments: OWN, destination: 'volume', to: ENVIRONMENT, wanted: { backup } },
    ...{ signal: new AbortController().signal, tell: (text: string) => void said.push(text) },
  });
}

test('latest passes over a week of nights with much less in them, and says so of each', async () => {
  const good = await night(1, 5_000);
  const bad = [];
  for (let day = 2; day <= 8; day += 1) bad.push(await night(day, 10));
  const { manifest, passedOver, others } = await choose('latest');
  assert.equal(manifest.backupId, good);
  assert.deepEqual(
    passedOver.map(({ backupId }) => backupId),
    bad,
  );
  assert.match(passedOver[0]?.why ?? '', /anomalous: it has 10 rows.*has 5000 rows.*volume:\S+ takes it all the same/);
  assert.equal(others.length, 7);
});

test('after more of them only a person can say which is the latest, however long ago the good one was', async () => {
  const good = await night(1, 5_000);
  for (let day = 2; day <= 30; day += 1) await night(day, 10);
  const newest = idOf(30);
  await assert.rejects(choose('latest'), (error: Error & { code: string; hint: string }) => {
    assert.equal(error.code, 'backup-anomalous');
    assert.match(error.message, /the newest 29 backups of acme-prod in volume are anomalous: it has 10 rows/);
    assert.match(error.hint, new RegExp(`volume:${newest} is the newest, volume:${good} the last with as much in it`));
    return true;
  });
  const named = await choose(newest);
  assert.equal(named.manifest.backupId, newest);
  assert.match(named.anomaly ?? '', /it has 10 rows .*; the backup before, \S+, has 5000 rows/);
  assert.equal((await choose(good)).anomaly, null);
});

test('a database that shrank slowly is no accident, and what is smaller and newer is the latest', async () => {
  for (const [index, rows] of [9_000, 6_000, 4_000, 2_500, 1_500, 900, 100].entries()) await night(index + 1, rows);
  const { manifest, passedOver } = await choose('latest');
  assert.deepEqual([manifest.backupId, passedOver], [idOf(7), []]);
});

test("where there is much to read it says so, and a foreign manifest is nobody's measure", async () => {
  for (let day = 1; day <= 101; day += 1) await night(day, 2_000 + day, day === 1 ? 'rival' : 'acme');
  assert.equal((await choose('latest')).manifest.backupId, idOf(101));
  assert.deepEqual(said, ['reads the 101 manifests of acme-prod in volume']);
});

test('what says that it is of a time to come is passed over, and can still be named', async () => {
  const today = await night(1, 5_000);
  const ahead = await night(20_000, 10);
  const { manifest, passedOver } = await choose('latest');
  assert.equal(manifest.backupId, today);
  assert.deepEqual(
    passedOver.map(({ backupId }) => backupId),
    [ahead],
  );
  assert.match(passedOver[0]?.why ?? '', /a time to come by the clock here/);
  assert.equal((await choose(ahead)).manifest.backupId, ahead);
});

test('where nothing can be read, the newest says why', async () => {
  await night(1, 10, 'rival');
  const damaged = join(folder, objectPrefix(ENVIRONMENT, idOf(2)));
  await mkdir(damaged, { recursive: true });
  await writeFile(join(damaged, 'manifest.json'), '{');
  await assert.rejects(choose('latest'), {
    code: 'bad-content',
    message: new RegExp(`${idOf(2)}/manifest.json.*JSON`),
  });
});
