import { ListMultipartUploadsCommand } from '@aws-sdk/client-s3';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pipeline } from 'node:stream/promises';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import type { S3Config } from '../../../config/destination-schema.ts';
import { bytesBody, hashFile, localFileBody } from '../../../destinations/local-file.ts';
import { S3Bucket } from '../../../destinations/s3/bucket.ts';
import { s3Place } from '../../../destinations/s3/place.ts';
import { S3Destination } from '../../../destinations/s3/s3.ts';
import { FaultProxy } from '../../fault-proxy.ts';
import { isLong } from '../../long.ts';
import { S3Server } from '../../s3-server.ts';
import { until } from '../../until.ts';

const server = await S3Server.start();
const proxy = await FaultProxy.start({ host: '127.0.0.1', port: server.port });
const folder = await mkdtemp(join(tmpdir(), 'cofre-s3-file-'));
after(async () => {
  await proxy.stop();
  await server.stop();
  await rm(folder, { recursive: true });
});

const program = fileURLToPath(new URL('./put-file.js', import.meta.url));
const MB = 1_000_000;
const SIZE = isLong ? 1000 * MB + 1 : 36 * MB + 1;
const PART = 6 * MB;
/** Idle sockets are given up soon, so that a cable that was pulled is noticed within the test. */
const IDLE_MS = 1000;
const path = join(folder, 'file');
const file = await open(path, 'w');
for (let left = SIZE; left > 0; left -= MB) await file.write(randomBytes(Math.min(left, MB)));
await file.close();
const { sha256 } = await hashFile(path);
const body = localFileBody(path, SIZE, sha256);

async function place(connections: number): Promise<S3Config> {
  const config = await server.bucket({ connections }, proxy.port);
  await s3Place(config).prepare();
  return config;
}

async function hashOf(bucket: S3Destination): Promise<{ sizeBytes: number; sha256: string }> {
  const copy = join(folder, 'copy');
  await pipeline(await bucket.get('a/b'), createWriteStream(copy));
  return await hashFile(copy);
}

/** Patiently: on a busy machine the file that it is read into may take longer than a test's idle socket has. */
async function stored(config: S3Config): Promise<{ sizeBytes: number; sha256: string }> {
  const bucket = new S3Destination('patient', config);
  try {
    return await hashOf(bucket);
  } finally {
    await bucket.close();
  }
}

describe('an upload to S3 that was interrupted', () => {
  test('case 32: goes on after kill -9 at 10, 50 and 99 %, and sends little twice', async () => {
    const config = await place(1);
    const sentBefore = proxy.passedBytes;
    const took: number[] = [];
    for (const share of [0.1, 0.5, 0.99, 1]) {
      const child = spawn(process.execPath, [program, JSON.stringify(config), path, String(SIZE), sha256], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const ended = once(child, 'exit');
      for await (const line of createInterface(child.stdout)) {
        const [word, bytes] = line.split(' ');
        if (word === 'took') took.push(Number(bytes));
        // The last part is stored, and the object is not put together yet.
        else if (share < 1 && Number(bytes) >= SIZE * share) child.kill('SIGKILL');
      }
      await ended;
    }
    const sent = proxy.passedBytes - sentBefore;
    assert.ok(sent <= 1.05 * SIZE + 3 * PART, `${sent} bytes were sent for ${SIZE}`);
    assert.deepEqual(await stored(config), { sizeBytes: SIZE, sha256 });
    assert.ok(took.length === 1 && Number(took[0]) < 150 * MB, `${took.join()} bytes of memory`);
  });

  // Not at 99 %: the cut could meet the service while it puts the object together, and its parts are gone by then.
  for (const [what, share] of [
    ['10 %', 0.1],
    ['50 %', 0.5],
  ] as const) {
    test(`case 32: goes on after the network was cut at ${what}`, async () => {
      const config = await place(3);
      const bucket = new S3Destination('bucket', config, { idleMs: IDLE_MS });
      const before = proxy.passedBytes;
      const cutting = until('enough has passed', () => proxy.passedBytes - before >= SIZE * share).then(() =>
        proxy.refuse(),
      );
      await assert.rejects(bucket.put('a/b', body), { code: 'destination-unavailable' });
      await cutting;
      proxy.restore();
      await bucket.put('a/b', body);
      const sent = proxy.passedBytes - before;
      assert.ok(sent <= 1.05 * SIZE + 3 * PART, `${sent} bytes were sent for ${SIZE}`);
      assert.deepEqual(await stored(config), { sizeBytes: SIZE, sha256 });
      await bucket.close();
    });
  }

  test('case 32: goes on by itself after one reset', async () => {
    const config = await place(3);
    const bucket = new S3Destination('bucket', config, { idleMs: IDLE_MS });
    proxy.cutAfter(SIZE * 0.3);
    await bucket.put('a/b', body);
    assert.deepEqual(await stored(config), { sizeBytes: SIZE, sha256 });
    await bucket.close();
  });

  test('case 32: notices a cable that was pulled, and goes on when it is back', async () => {
    const config = await place(3);
    const bucket = new S3Destination('bucket', config, { idleMs: IDLE_MS });
    proxy.stallAfter(SIZE * 0.6);
    await assert.rejects(bucket.put('a/b', body), { code: 'destination-unavailable' });
    assert.ok(proxy.stalled);
    proxy.restore();
    await bucket.put('a/b', body);
    assert.deepEqual(await stored(config), { sizeBytes: SIZE, sha256 });
    await bucket.close();
  });

  test('parts of other bytes under the same name do not count', async () => {
    const config = await place(1);
    const bucket = new S3Destination('bucket', config, { idleMs: IDLE_MS });
    const kill = new AbortController();
    const onProgress = (bytes: number): void => (bytes > PART ? kill.abort(new Error('killed')) : undefined);
    const other = bytesBody(randomBytes(4 * PART));
    await assert.rejects(bucket.put('a/b', other, { signal: kill.signal, onProgress }), /killed/);
    await bucket.put('a/b', body);
    assert.deepEqual(await stored(config), { sizeBytes: SIZE, sha256 });
    await bucket.close();
  });

  test('a reader that is cut off hears of it, and never takes a part for the whole', async () => {
    const config = await place(3);
    const bucket = new S3Destination('bucket', config, { idleMs: IDLE_MS });
    await bucket.put('a/b', body);
    for (const fault of [() => proxy.cutAfter(SIZE / 2), () => proxy.stallAfter(SIZE / 2)]) {
      fault();
      await assert.rejects(hashOf(bucket), { code: 'destination-unavailable' });
      proxy.restore();
    }
    assert.deepEqual(await stored(config), { sizeBytes: SIZE, sha256 });
    await bucket.close();
  });

  test('parts of another body, of another size or of another checksum do not count', async () => {
    const config = await place(3);
    const bucket = new S3Destination('bucket', config, { idleMs: IDLE_MS });
    const before = proxy.passedBytes;
    const cutting = until('half has passed', () => proxy.passedBytes - before >= SIZE / 2).then(() => proxy.refuse());
    await assert.rejects(bucket.put('a/b', body), { code: 'destination-unavailable' });
    await cutting;
    proxy.restore();
    // The operator changes the settings in between.
    const changed = new S3Destination('bucket', { ...config, partSize: '7MB', checksum: 'md5' });
    await changed.put('a/b', body);
    assert.deepEqual(await hashOf(changed), { sizeBytes: SIZE, sha256 });
    const { client } = new S3Bucket(config);
    const { Uploads } = await client.send(new ListMultipartUploadsCommand({ Bucket: config.bucket }));
    assert.deepEqual(Uploads ?? [], [], 'nothing is left of the first try');
    client.destroy();
    await bucket.close();
    await changed.close();
  });
});
