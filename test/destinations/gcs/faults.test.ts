import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, beforeEach, describe, test } from 'node:test';

import type { GcsConfig } from '../../../config/destination-schema.ts';
import type { Body } from '../../../destinations/destination.ts';
import { GcsDestination } from '../../../destinations/gcs/gcs.ts';
import { gcsPlace } from '../../../destinations/gcs/place.ts';
import { bytesBody } from '../../../destinations/local-file.ts';
import { GcsDouble, type Asked } from '../../gcs-double.ts';
import { GcsServer } from '../../gcs-server.ts';
import { keys, read } from '../contract.ts';

const server = await GcsServer.start();
const folder = await mkdtemp(join(tmpdir(), 'cofre-gcs-faults-'));
after(async () => {
  await server.stop();
  await rm(folder, { recursive: true });
});

const CHUNK_BYTES = 1024 * 1024;
const large = bytesBody(randomBytes(3_500_000));
const small = bytesBody(randomBytes(100_000));
const BOTH: readonly (readonly [string, Body])[] = [
  ['a/small', small],
  ['a/large', large],
];

describe('GCS, with a service that has faults', () => {
  let double: GcsDouble;
  let config: GcsConfig;
  let bucket: GcsDestination;
  let uploads: string;
  beforeEach(async () => {
    double = await GcsDouble.start(server.port);
    config = await server.bucket({}, double.port);
    await gcsPlace(config).prepare();
    uploads = await mkdtemp(join(folder, 'uploads-'));
    bucket = new GcsDestination('bucket', config, { chunkBytes: CHUNK_BYTES, uploads });
    double.asked.length = 0;
  });
  afterEach(async () => {
    await bucket.close();
    await double.stop();
  });

  /** The request with which an object comes to be: the only one, or that of the last chunk. */
  const stores = ({ method, query, headers }: Asked): boolean => {
    const [, last = '', size = ''] = /^bytes \d+-(\d+)\/(\d+)$/.exec(headers['content-range'] ?? '') ?? [];
    const isLast = method === 'PUT' && Number(last) + 1 === Number(size);
    return isLast || (method === 'POST' && query.get('uploadType') === 'multipart');
  };
  /** One bit, near the end and before what closes a request of two parts. */
  const flip = (bytes: Buffer): Buffer => {
    const flipped = Buffer.from(bytes);
    const at = flipped.length - 100;
    flipped[at] = (flipped[at] ?? 0) ^ 1;
    return flipped;
  };
  /** By somebody who does not go through the double. */
  const storeOther = async (key: string): Promise<void> => {
    const other = new GcsDestination('other', { ...config, endpoint: `http://127.0.0.1:${server.port}` });
    await other.put(key, bytesBody(Buffer.from('of another writer')));
    await other.close();
  };

  test('case 33: a reply that is lost after success: the same bytes are found there, once', async () => {
    for (const [key, body] of BOTH) {
      let lost = 0;
      double.fault = (asked) => (stores(asked) && (lost += 1) === 1 ? { loseReply: true } : {});
      assert.deepEqual(await bucket.put(key, body), { key, sizeBytes: body.sizeBytes });
      assert.ok(lost > 0);
    }
    double.fault = () => ({});
    assert.deepEqual(await keys(bucket), ['a/large', 'a/small']);
    assert.deepEqual(await readdir(uploads), []);
  });

  test('case 35: a service that stores fewer bytes and says that all is well is found out, and its object removed', async () => {
    for (const [key, body] of BOTH) {
      // Of a request in two parts the second is cut.
      const cut = (bytes: Buffer): Buffer => {
        const begin = Math.max(bytes.lastIndexOf('octet-stream\r\n\r\n'), 0);
        const end = bytes.lastIndexOf('\r\n--cofre-');
        return Buffer.concat([bytes.subarray(0, begin + 50), bytes.subarray(end === -1 ? bytes.length : end)]);
      };
      double.fault = (asked) => (stores(asked) ? { sent: cut } : {});
      await assert.rejects(bucket.put(key, body), {
        code: 'destination-unavailable',
        message: /said that it had stored/,
      });
      double.fault = () => ({});
      assert.deepEqual(await keys(bucket), []);
      await bucket.put(key, body);
      await bucket.remove(key);
    }
  });

  test('a bit that flips on the way is found by the checksum, whether the service compares it or not', async () => {
    for (const [key, body] of BOTH) {
      const message = `Provided CRC32C "aaaaaa==" doesn't match calculated CRC32C "bbbbbb==".`;
      for (const fault of [{ sent: flip }, { answer: { status: 400, reason: 'invalid', message } }]) {
        double.fault = (asked) => (stores(asked) ? fault : {});
        await assert.rejects(bucket.put(key, body), { code: 'destination-unavailable' });
        double.fault = () => ({});
        await assert.rejects(bucket.stat(key), { code: 'not-found' });
        assert.deepEqual(await readdir(uploads), [], 'nothing of it is taken up again');
      }
      await bucket.put(key, body);
      double.fault = ({ query }) => (query.get('alt') === 'media' ? { reply: flip } : {});
      await assert.rejects(read(bucket, key), { code: 'bad-content', message: /checksum/ });
      double.fault = () => ({});
    }
  });

  test('the checksum of the whole goes with the last chunk', async () => {
    await bucket.put('a/large', large);
    const chunks = double.asked.filter(({ method }) => method === 'PUT');
    assert.deepEqual(
      chunks.map(({ headers }) => /^crc32c=.{8}$/.test(String(headers['x-goog-hash']))),
      [false, false, false, true],
    );
  });

  test('case 37: a quota that is used up is no-space', async () => {
    double.fault = (asked) => (stores(asked) ? { answer: { status: 403, reason: 'quotaExceeded' } } : {});
    for (const [key, body] of BOTH) await assert.rejects(bucket.put(key, body), { code: 'no-space' });
  });

  test('case 38: another writer that was faster is never overwritten', async () => {
    for (const [key, body] of BOTH) {
      double.fault = (asked) => (stores(asked) ? { before: () => storeOther(key) } : {});
      await assert.rejects(bucket.put(key, body), { code: 'already-exists' });
      double.fault = () => ({});
      assert.equal((await read(bucket, key)).toString(), 'of another writer');
      await assert.rejects(bucket.put(key, body), { code: 'already-exists' });
    }
  });

  const ignoringConditions = (): void => {
    double.fault = () => ({ ask: (target) => target.replace(/&?ifGenerationMatch=0/, '') });
  };

  test('case 38: a service that ignores conditions: what is there is looked at first, and never replaced', async () => {
    await bucket.put('a/b', small);
    ignoringConditions();
    for (const body of [bytesBody(Buffer.from('other')), large]) {
      await assert.rejects(bucket.put('a/b', body), { code: 'already-exists' });
    }
    assert.ok((await read(bucket, 'a/b')).length === small.sizeBytes);
  });

  test('case 39: a service that ignores conditions is refused before the first run', async () => {
    const other = await server.bucket({}, double.port);
    ignoringConditions();
    await assert.rejects(gcsPlace(other).prepare(), { code: 'refused', message: /ignores ifGenerationMatch/ });
    assert.equal(await gcsPlace(other).state(), 'empty');
  });

  test('case 52: an object that shows late is waited for, and is not taken as lost', async () => {
    const showsAt = Date.now() + 1500;
    let seen = 0;
    double.fault = ({ method, name }) => {
      if (name !== 'a/b' || method !== 'GET' || Date.now() >= showsAt) return {};
      seen += 1;
      return { answer: { status: 404, reason: 'notFound' } };
    };
    await bucket.put('a/b', small);
    assert.ok(seen > 1);
    assert.equal((await bucket.stat('a/b')).sizeBytes, small.sizeBytes);
  });

  test('a short disturbance is passed over, a longer one is told and may be tried again', async () => {
    await bucket.put('a/b', small);
    for (const [status, reason] of [
      [429, 'rateLimitExceeded'],
      [503, 'backendError'],
    ] as const) {
      let times = 1;
      double.fault = () => ((times -= 1) >= 0 ? { answer: { status, reason } } : {});
      assert.equal((await bucket.stat('a/b')).sizeBytes, small.sizeBytes);
      double.fault = () => ({ answer: { status, reason } });
      await assert.rejects(bucket.stat('a/b'), { code: 'destination-unavailable', retryable: true });
      double.fault = () => ({});
    }
    double.fault = () => ({ answer: { status: 403, reason: 'userRateLimitExceeded' } });
    await assert.rejects(bucket.stat('a/b'), { code: 'destination-unavailable', retryable: true });
  });

  test('a session of a service without a folder to remember it in is one all the same', async () => {
    const forgetful = new GcsDestination('bucket', config, { chunkBytes: CHUNK_BYTES });
    await forgetful.put('a/large', large);
    assert.equal((await read(forgetful, 'a/large')).length, large.sizeBytes);
    await forgetful.close();
  });

  test('an answer that is no list of objects is not a bucket that has none', async () => {
    await bucket.put('a/b', small);
    for (const [text, message] of [
      ['<html><body>Please log in</body></html>', /failed to list: .*not valid JSON/],
      ['{"kind":"storage#objects"}', /gave a list without cofre\.json/],
      ['{"nextPageToken":"same","items":[{"name":"cofre.json","size":"1"}]}', /gives the same page of a list again/],
    ] as const) {
      double.fault = ({ method, path }) =>
        method === 'GET' && path.endsWith('/o') ? { reply: () => Buffer.from(text) } : {};
      await assert.rejects(keys(bucket), { code: 'destination-unavailable', message });
    }
    double.fault = () => ({});
    assert.deepEqual(await keys(bucket), ['a/b']);
  });

  test('a marker of another kind, a bucket that is gone and one that was never prepared are not-mounted', async () => {
    const other = await server.bucket();
    const unprepared = new GcsDestination('other', other);
    await assert.rejects(unprepared.put('a/b', small), { code: 'not-mounted', hint: /destination prepare other/ });
    const gone = new GcsDestination('gone', { ...other, bucket: 'nowhere' });
    await assert.rejects(gone.stat('a'), { code: 'not-mounted', message: /there is no bucket nowhere/ });
    assert.equal(await gcsPlace({ ...other, bucket: 'nowhere' }).state(), 'missing');
    const made = await Promise.all([1, 2, 3].map(() => gcsPlace(other).prepare()));
    assert.equal(made.filter(Boolean).length, 1);
    assert.equal(await gcsPlace(other).prepare(), false);
    assert.equal(await unprepared.identity(), (await gcsPlace(other).identities())[0]);
    for (const handle of [unprepared, gone]) await handle.close();
  });
});
