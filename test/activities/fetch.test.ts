import assert from 'node:assert/strict';
import { createHash, randomBytes, randomInt } from 'node:crypto';
import { mkdtemp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';

import { fetchObject } from '../../activities/fetch.ts';
import type { NamedDestination, RestoreSource } from '../../activities/plans.ts';
import { Random } from '../../bench/random.ts';
import { prepareDirectory } from '../../destinations/directory/marker.ts';
import { bytesBody } from '../../destinations/local-file.ts';
import { withDestination } from '../../destinations/open.ts';
import { sampleManifest } from '../catalog/sample-manifest.ts';
import { DAMAGES } from '../damage.ts';

const ID = '20261120T210000Z-1f3a9c04';
const ENVIRONMENT = 'acme';
const KEY = 'a1-0badcafe/database.tar';
const OBJECT = randomBytes(30_000);
const SHA256 = createHash('sha256').update(OBJECT).digest('hex');

/** A destination that has the object, and where its file lies. */
async function makeCopy(context: TestContext, name: string): Promise<{ destination: NamedDestination; path: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'cofre-fetch-'));
  context.after(() => rm(folder, { recursive: true }));
  await prepareDirectory(folder);
  const destination: NamedDestination = { name, config: { type: 'directory', path: folder, shared: true } };
  const prefix = `${ENVIRONMENT}/${ID}/`;
  await withDestination(name, destination.config, (place) => place.put(prefix + KEY, bytesBody(OBJECT)));
  return { destination, path: join(folder, prefix, KEY) };
}

async function fetchFrom(
  context: TestContext,
  copies: readonly NamedDestination[],
): Promise<{ from: string; bytes: Buffer; damaged: string[] }> {
  const folder = await mkdtemp(join(tmpdir(), 'cofre-fetch-'));
  context.after(() => rm(folder, { recursive: true }));
  await mkdir(folder, { recursive: true });
  const file = join(folder, 'archive');
  const damaged: string[] = [];
  const source: Extract<RestoreSource, { type: 'backup' }> = {
    ...{ type: 'backup', backupId: ID, snapshotAt: '2026-11-20T21:00:00.000Z', pipeline: 'staged' },
    ...{ rawBytes: 0, sizeBytes: OBJECT.length, anomalous: false, passedOver: [] },
    copies: copies.map((destination) => ({ destination, sha256: SHA256 })),
  };
  const from = await fetchObject({
    ...{ host: 'h1', environment: ENVIRONMENT, source, file, signal: new AbortController().signal },
    manifest: { ...sampleManifest(ID), objects: [{ key: KEY, sizeBytes: OBJECT.length, sha256: SHA256 }] },
    onProgress: () => undefined,
    onDamaged: (name) => Promise.resolve(void damaged.push(name)),
  });
  return { from, bytes: await readFile(file), damaged };
}

test('case 46: a copy that is damaged anywhere, in any way, is never taken, and the next one is', async (context) => {
  const seed = randomInt(2 ** 31);
  const random = new Random(seed);
  const first = await makeCopy(context, 'first');
  const second = await makeCopy(context, 'second');
  const positions = [0, OBJECT.length - 1, ...Array.from({ length: 20 }, () => random.below(OBJECT.length))];
  for (const [kind, damage] of Object.entries(DAMAGES)) {
    for (const at of positions) {
      await writeFile(first.path, OBJECT);
      await damage(first.path, at);
      const { from, bytes, damaged } = await fetchFrom(context, [first.destination, second.destination]);
      const where = `${kind} at ${at}, seed ${seed}`;
      assert.deepEqual([from, damaged], ['second', ['first']], where);
      assert.ok(bytes.equals(OBJECT), where);
    }
  }
  await rm(first.path);
  assert.deepEqual((await fetchFrom(context, [first.destination, second.destination])).damaged, ['first'], 'gone');
});

test('case 46: where every copy is damaged nothing is restored', async (context) => {
  const first = await makeCopy(context, 'first');
  await writeFile(first.path, Buffer.concat([OBJECT.subarray(0, 100), OBJECT.subarray(101)]));
  await assert.rejects(fetchFrom(context, [first.destination]), { code: 'bad-content', message: /first/ });
});
