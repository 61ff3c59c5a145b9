import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdtemp, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pipeline } from 'node:stream/promises';
import { after, beforeEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';

import type { GcsConfig } from '../../../config/destination-schema.ts';
import { GcsDestination } from '../../../destinations/gcs/gcs.ts';
import { gcsPlace } from '../../../destinations/gcs/place.ts';
import { bytesBody, hashFile } from '../../../destinations/local-file.ts';
import { FaultProxy } from '../../fault-proxy.ts';
import { GcsDouble, type Asked } from '../../gcs-double.ts';
import { GcsServer } from '../../gcs-server.ts';
import { isLong } from '../../long.ts';
import { until } from '../../until.ts';

const MIB = 1024 * 1024;
const LARGE = (isLong ? 1024 : 24) * MIB + 1;
/** The emulator writes all of it again with each chunk, so a large object gets large ones. */
const LARGE_CHUNK = (isLong ? 10 : 1) * MIB;
/** For what needs no kill. */
const SIZE = 4 * MIB + 1;
const CHUNK = MIB / 4;
/** Requests without a body, and the heads of those with one. */
const SMALL_BYTES = 200_000;
/** Idle connections are given up soon, so that a cable that was pulled is noticed within the test. */
const IDLE_MS = 1_000;

const server = await GcsServer.start('emulator');
const double = await GcsDouble.start(server.port);
const proxy = await FaultProxy.start({ host: '127.0.0.1', port: double.port });
const folder = await mkdtemp(join(tmpdir(), 'cofre-gcs-file-'));
after(async () => {
  await proxy.stop();
  await double.stop();
  await server.stop();
  await rm(folder, { recursive: true });
});

const program = fileURLToPath(new URL('./put-file.js', import.meta.url));
const path = join(folder, 'file');
const file = await open(path, 'w');
for (let left = LARGE; left > 0; left -= MIB) await file.write(randomBytes(Math.min(left, MIB)));
await file.close();
const large = await hashFile(path);
const body = bytesBody(randomBytes(SIZE));

let config: GcsConfig;
let uploads: string;
beforeEach(async () => {
  double.fault = () => ({});
  config = await server.bucket({}, proxy.port);
  await gcsPlace(config).prepare({ evenIfNotEmpty: true }).catch(markByHand);
  uploads = await mkdtemp(join(folder, 'uploads-'));
});

/** The emulator knows no conditions, so no place there can be prepared: its marker is put there as it is. */
async function markByHand(): Promise<void> {
  const at = `http://127.0.0.1:${server.port}/upload/storage/v1/b/${config.bucket}/o?uploadType=media&name=cofre.json`;
  const marker = JSON.stringify({ format: 1, id: '0b2ec4d6-5a0f-4a67-9d34-2f6f0f4c1f11' });
  await fetch(at, { method: 'POST', headers: { 'content-type': 'text/plain' }, body: marker });
}

const bucketNow = (): GcsDestination =>
  new GcsDestination('bucket', config, { uploads, chunkBytes: CHUNK, idleMs: IDLE_MS });

async function requireWhole({ sizeBytes, sha256 }: { sizeBytes: number; sha256: string } = body): Promise<void> {
  // The emulator takes its time before it answers with a large object.
  const bucket = new GcsDestination('bucket', config, { uploads, idleMs: isLong ? 120_000 : IDLE_MS });
  const copy = join(folder, 'copy');
  await pipeline(await bucket.get('a/b'), createWriteStream(copy));
  assert.deepEqual(await hashFile(copy), { sizeBytes, sha256 });
  assert.deepEqual(await readdir(uploads), [], 'no address is kept of what has ended');
  await bucket.close();
}

const isChunk = ({ method, headers }: Asked): boolean =>
  method === 'PUT' && /^bytes \d/.test(headers['content-range'] ?? '');
const startOf = ({ headers }: Asked): number => Number(/^bytes (\d+)-/.exec(headers['content-range'] ?? '')?.[1]);

/** An upload that ends in its middle, as if its process had been killed there. */
async function interrupt(share = 0.5, what = body): Promise<void> {
  const bucket = bucketNow();
  const kill = new AbortController();
  const onProgress = (bytes: number): void => (bytes >= SIZE * share ? kill.abort(new Error('killed')) : undefined);
  await assert.rejects(bucket.put('a/b', what, { signal: kill.signal, onProgress }), /killed/);
  await bucket.close();
}

async function sessionFile(): Promise<{ path: string; content: Record<string, unknown> }> {
  const [name = ''] = await readdir(uploads);
  const found = join(uploads, name);
  return { path: found, content: JSON.parse(await readFile(found, 'utf8')) as Record<string, unknown> };
}

describe('an upload to GCS that was interrupted', () => {
  test('case 32: goes on after kill -9 at 10, 50 and 99 %, and sends little twice', async () => {
    const sentBefore = proxy.sentBytes;
    const took: number[] = [];
    const options = { uploads, chunkBytes: LARGE_CHUNK };
    for (const share of [0.1, 0.5, 0.99, 1]) {
      const args = [program, JSON.stringify(config), JSON.stringify(options), path, String(LARGE), large.sha256];
      const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
      const ended = once(child, 'exit');
      for await (const line of createInterface(child.stdout)) {
        const [word, stored] = line.split(' ');
        if (word === 'took') took.push(Number(stored));
        // The last but one chunk is confirmed: with the last there would be an object.
        else if (share < 1 && Number(stored) >= Math.min(LARGE * share, LARGE - LARGE_CHUNK - 1)) child.kill('SIGKILL');
      }
      await ended;
    }
    const sent = proxy.sentBytes - sentBefore;
    assert.ok(sent <= 1.05 * LARGE + 3 * LARGE_CHUNK, `${sent} bytes were sent for ${LARGE}`);
    assert.equal(took.length, 1, 'one of them came to the end');
    // Two chunks of the test's own size, and what node itself needs.
    assert.ok(Number(took[0]) < 150 * MIB + (isLong ? 2 * LARGE_CHUNK : 0), `${took.join()} bytes of memory`);
    await requireWhole(large);
  });

  for (const percent of [10, 50, 99]) {
    test(`case 32: goes on after the network was cut at ${percent} %`, async () => {
      const bucket = bucketNow();
      const before = proxy.sentBytes;
      const cutting = until('enough has passed', () => proxy.sentBytes - before >= (SIZE * percent) / 100).then(() =>
        proxy.refuse(),
      );
      await assert.rejects(bucket.put('a/b', body), { code: 'destination-unavailable' });
      await cutting;
      proxy.restore();
      await bucket.put('a/b', body);
      const sent = proxy.sentBytes - before;
      assert.ok(sent <= 1.05 * SIZE + 2 * CHUNK + SMALL_BYTES, `${sent} bytes were sent for ${SIZE}`);
      await requireWhole();
      await bucket.close();
    });
  }

  test('case 32: goes on by itself after one reset', async () => {
    const bucket = bucketNow();
    proxy.cutAfter(SIZE * 0.3);
    await bucket.put('a/b', body);
    await requireWhole();
    await bucket.close();
  });

  test('case 32: notices a cable that was pulled, and goes on when it is back', async () => {
    const bucket = bucketNow();
    proxy.stallAfter(SIZE * 0.6);
    await assert.rejects(bucket.put('a/b', body), { code: 'destination-unavailable', message: /nothing passed/ });
    assert.ok(proxy.stalled);
    proxy.restore();
    await bucket.put('a/b', body);
    await requireWhole();
    await bucket.close();
  });

  test('the address of an unfinished upload is in a file of the worker alone, and in no error', async () => {
    await interrupt();
    const { path: kept, content } = await sessionFile();
    const address = String(content['address']);
    assert.match(address, /upload_id=/);
    assert.equal((await stat(kept)).mode & 0o777, 0o600);
    assert.equal((await stat(uploads)).mode & 0o777, 0o700);
    // As it stands in the address, and as a reader of addresses writes it.
    const ids = [/upload_id=([^&]+)/.exec(address)?.[1] ?? '', new URL(address).searchParams.get('upload_id') ?? ''];
    const bucket = bucketNow();
    // The service repeats what it was asked, and the connection ends while it is being asked.
    for (const fault of [
      { answer: { status: 403, reason: 'forbidden', message: `not you: ${address}` } },
      { loseReply: true },
      { answer: { status: 500, reason: 'backendError', message: `failed: PUT ${new URL(address).search}` } },
    ]) {
      double.fault = (asked) => (asked.query.has('upload_id') ? fault : {});
      await assert.rejects(bucket.put('a/b', body), (error) => {
        const printed = `${inspect(error, { depth: 10, showHidden: true })}${JSON.stringify(error)}`;
        for (const id of ids) assert.ok(id.length > 20 && !printed.includes(id), printed);
        return true;
      });
    }
    await bucket.close();
  });

  test('an upload goes on from the offset that the service confirms, not from what was sent', async () => {
    await interrupt();
    double.asked.length = 0;
    const bucket = bucketNow();
    await bucket.put('a/b', body);
    const first = startOf(double.asked.find(isChunk) as Asked);
    assert.ok(first >= SIZE * 0.5 && first % CHUNK === 0, `it went on from ${first}`);
    await requireWhole();
    await bucket.close();
  });

  test('case 42: a login that ends in the middle is named, and the upload goes on where it was', async () => {
    const bucket = bucketNow();
    double.fault = (asked) =>
      isChunk(asked) && startOf(asked) > SIZE / 2
        ? { answer: { status: 401, reason: 'authError', message: 'Invalid Credentials' } }
        : {};
    await assert.rejects(bucket.put('a/b', body), { code: 'access-denied', hint: /roles/ });
    double.fault = () => ({});
    double.asked.length = 0;
    await bucket.put('a/b', body);
    assert.ok(startOf(double.asked.find(isChunk) as Asked) > SIZE / 2);
    await requireWhole();
    await bucket.close();
  });

  test('an upload that the service has forgotten begins again', async () => {
    for (const status of [404, 410]) {
      await interrupt();
      double.asked.length = 0;
      let told = 0;
      double.fault = (asked) =>
        asked.method === 'PUT' && !isChunk(asked) && (told += 1) === 1 ? { answer: { status, message: 'gone' } } : {};
      const bucket = bucketNow();
      await bucket.put('a/b', body);
      assert.equal(startOf(double.asked.find(isChunk) as Asked), 0);
      await requireWhole();
      await bucket.remove('a/b');
      await bucket.close();
    }
  });

  test('one that ends in the middle is told, forgotten, and begins again with the next try', async () => {
    const bucket = bucketNow();
    double.fault = (asked) =>
      isChunk(asked) && startOf(asked) > SIZE / 2 ? { answer: { status: 410, message: 'gone' } } : {};
    await assert.rejects(bucket.put('a/b', body), { code: 'destination-unavailable', message: /has ended the upload/ });
    assert.deepEqual(await readdir(uploads), []);
    double.fault = () => ({});
    await bucket.put('a/b', body);
    await requireWhole();
    await bucket.close();
  });

  test('what is on its way for other bytes, or is written by somebody else, does not count', async () => {
    await interrupt(0.5, bytesBody(randomBytes(SIZE)));
    const bucket = bucketNow();
    await bucket.put('a/b', body);
    await requireWhole();
    await bucket.remove('a/b');
    await interrupt();
    const { path: kept, content } = await sessionFile();
    for (const text of ['not JSON', JSON.stringify({ ...content, name: 'a/other' })]) {
      await writeFile(kept, text);
      double.asked.length = 0;
      await bucket.put('a/b', body);
      assert.equal(startOf(double.asked.find(isChunk) as Asked), 0, text);
      await requireWhole();
      await bucket.remove('a/b');
    }
    await bucket.close();
  });

  test('a reader that is cut off hears of it, and never takes a part for the whole', async () => {
    const bucket = bucketNow();
    await bucket.put('a/b', body);
    for (const fault of [() => proxy.cutAfter(SIZE / 2), () => proxy.stallAfter(SIZE / 2)]) {
      fault();
      await assert.rejects(requireWhole(), { code: 'destination-unavailable' });
      proxy.restore();
    }
    await requireWhole();
    await bucket.close();
  });
});
