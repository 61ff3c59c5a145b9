import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { after, afterEach, beforeEach, describe, test } from 'node:test';

import type { S3Config } from '../../../config/destination-schema.ts';
import { bytesBody } from '../../../destinations/local-file.ts';
import { s3Place } from '../../../destinations/s3/place.ts';
import { S3Destination } from '../../../destinations/s3/s3.ts';
import { S3Double } from '../../s3-double.ts';
import { S3Server } from '../../s3-server.ts';
import { until } from '../../until.ts';
import { keys, read } from '../contract.ts';

const server = await S3Server.start();
after(() => server.stop());

const PARTS = 4;
/** Four parts of 6 MB, the last of them small. */
const large = bytesBody(randomBytes(18_500_000));
const small = bytesBody(randomBytes(100_000));

describe('S3, with a service that has faults', () => {
  let double: S3Double;
  let config: S3Config;
  let bucket: S3Destination;
  beforeEach(async () => {
    double = await S3Double.start(server.port);
    config = await server.bucket({}, double.port);
    await s3Place(config).prepare();
    bucket = new S3Destination('bucket', config);
    double.asked.length = 0;
  });
  afterEach(async () => {
    await bucket.close();
    await double.stop();
  });

  const pathOf = (key: string): string => join(server.root, config.bucket, key);
  const partsSent = (): number => double.asked.filter(({ query }) => query.has('partNumber')).length;
  const completes = ({ method, query }: { method: string; query: URLSearchParams }): boolean =>
    method === 'POST' && query.has('uploadId');

  test('case 33: a reply that is lost after success: the same bytes are found there, once', async () => {
    for (const [key, body] of [
      ['a/small', small],
      ['a/large', large],
    ] as const) {
      let lost = 0;
      double.fault = (asked) => {
        const stores =
          asked.name === key && (completes(asked) || (asked.method === 'PUT' && !asked.query.has('partNumber')));
        // All tries of the SDK but one that may come again.
        return stores && (lost += 1) <= 3 ? { loseReply: true } : {};
      };
      assert.deepEqual(await bucket.put(key, body), { key, sizeBytes: body.sizeBytes });
      assert.ok(lost > 0);
    }
    double.fault = () => ({});
    assert.deepEqual(await keys(bucket), ['a/large', 'a/small']);
    assert.equal(partsSent(), PARTS);
  });

  test('case 33: a reply of a part that is lost: the part is sent again, and the object is whole', async () => {
    let lost = 0;
    double.fault = ({ query }) => (query.get('partNumber') === '2' && (lost += 1) === 1 ? { loseReply: true } : {});
    await bucket.put('a/large', large);
    assert.equal(lost, 2);
    assert.ok((await read(bucket, 'a/large')).length === large.sizeBytes);
  });

  test('case 35: a service that stores fewer bytes and says that all is well is found out, and its object removed', async () => {
    for (const [key, body] of [
      ['a/small', small],
      ['a/large', large],
    ] as const) {
      double.fault = (asked) => {
        const stores =
          asked.name === key && (completes(asked) || (asked.method === 'PUT' && !asked.query.has('partNumber')));
        return stores ? { after: () => truncate(pathOf(key), 50_000) } : {};
      };
      await assert.rejects(bucket.put(key, body), { code: 'destination-unavailable', message: /50000 of/ });
      double.fault = () => ({});
      assert.deepEqual(await keys(bucket), []);
      await bucket.put(key, body);
      await bucket.remove(key);
    }
  });

  test('case 36: an error in the body of an answer with status 200 is an error', async () => {
    double.fault = (asked) =>
      completes(asked) ? { answer: { status: 200, code: 'InternalError', message: 'try later' } } : {};
    await assert.rejects(bucket.put('a/large', large), { code: 'destination-unavailable', message: /try later/ });
    double.fault = () => ({});
    assert.deepEqual(await keys(bucket), []);
    await bucket.put('a/large', large);
    assert.equal(partsSent(), PARTS, 'no part was sent twice');
  });

  test('case 37: a quota that is used up is no-space', async () => {
    double.fault = ({ method, name }) =>
      method === 'PUT' && name === 'a/b' ? { answer: { status: 403, code: 'QuotaExceeded', message: 'quota' } } : {};
    await assert.rejects(bucket.put('a/b', small), { code: 'no-space' });
  });

  test('case 37: a full disk of a service that has no name for it is no-space', async () => {
    double.fault = ({ method, name }) =>
      method === 'PUT' && name === 'a/b'
        ? { answer: { status: 500, code: 'InternalError', message: 'write /data: no space left on device' } }
        : {};
    await assert.rejects(bucket.put('a/b', small), { code: 'no-space' });
  });

  test('an error holds nothing of the request, whatever the service repeats of it', async () => {
    const more = '<AWSAccessKeyId>CANARY</AWSAccessKeyId><StringToSign>CANARY</StringToSign>';
    double.fault = ({ name }) =>
      name === 'a/b' ? { answer: { status: 403, code: 'SignatureDoesNotMatch', more } } : {};
    await assert.rejects(bucket.get('a/b'), (error) => {
      const printed = `${inspect(error, { depth: 10, showHidden: true })}${JSON.stringify(error)}`;
      assert.match(printed, /SignatureDoesNotMatch/);
      assert.doesNotMatch(printed, /CANARY/);
      return true;
    });
  });

  test('case 38: a service that ignores conditions: what is there is looked at first, and never replaced', async () => {
    await bucket.put('a/b', small);
    double.fault = ({ method, name, headers }) =>
      method === 'PUT' && headers['if-none-match'] === '*' ? { before: () => rm(pathOf(name), { force: true }) } : {};
    await assert.rejects(bucket.put('a/b', bytesBody(Buffer.from('other'))), { code: 'already-exists' });
    assert.ok((await read(bucket, 'a/b')).length === small.sizeBytes);
  });

  test('case 39: a service that ignores conditions is refused before the first run', async () => {
    const other = await server.bucket({}, double.port);
    double.fault = ({ method, name, headers }) =>
      method === 'PUT' && headers['if-none-match'] === '*'
        ? { before: () => rm(join(server.root, other.bucket, name), { force: true }) }
        : {};
    await assert.rejects(s3Place(other).prepare(), { code: 'refused', message: /ignores If-None-Match/ });
    assert.equal(await s3Place(other).state(), 'empty');
  });

  test('case 39: a service that does not know CRC32 is told before the first run, with the setting that helps', async () => {
    const other = await server.bucket({}, double.port);
    double.fault = ({ headers }) =>
      headers['x-amz-checksum-crc32'] !== undefined
        ? { answer: { status: 501, code: 'NotImplemented', message: 'x-amz-checksum-crc32' } }
        : {};
    await assert.rejects(s3Place(other).prepare(), { code: 'bad-config', hint: /checksum: md5/ });
    assert.equal(await s3Place({ ...other, checksum: 'md5' }).prepare(), true);
  });

  test('case 42: credentials that expire in the middle: it says so, and goes on when they are renewed', async () => {
    let stored = 0;
    const answer = { status: 403, code: 'ExpiredToken', message: 'The provided token has expired.' };
    double.fault = ({ query }) => {
      const number = Number(query.get('partNumber'));
      if (number > 2) return { before: () => until('two parts are stored', () => stored === 2), answer };
      if (number > 0) return { after: async () => void (stored += 1) };
      return stored > 0 ? { answer } : {};
    };
    await assert.rejects(bucket.put('a/large', large), {
      code: 'destination-unavailable',
      message: /ExpiredToken/,
      hint: /renew/,
    });
    double.fault = () => ({});
    double.asked.length = 0;
    await bucket.put('a/large', large);
    assert.equal(partsSent(), PARTS - 2);
    assert.equal((await read(bucket, 'a/large')).length, large.sizeBytes);
  });

  test('case 44: a clock that is wrong is named', async () => {
    const answer = { status: 403, code: 'RequestTimeTooSkewed', message: 'The difference is too large.' };
    double.fault = () => ({ answer });
    const skewed = new S3Destination('bucket', config);
    await assert.rejects(skewed.put('a/b', small), { code: 'access-denied', message: /TooSkewed/, hint: /clock/ });
  });

  test('case 52: an object that shows late is waited for, and is not taken as lost', async () => {
    const showsAt = Date.now() + 1500;
    let seen = 0;
    double.fault = ({ method, name }) => {
      if (name !== 'a/b' || method === 'PUT' || Date.now() >= showsAt) return {};
      seen += 1;
      return { answer: { status: 404, code: 'NoSuchKey' } };
    };
    await bucket.put('a/b', small);
    assert.ok(seen > 1);
    assert.equal((await bucket.stat('a/b')).sizeBytes, small.sizeBytes);
  });

  test('an answer that is no list of objects is not a bucket that has none', async () => {
    await bucket.put('a/b', small);
    const page = (more: string): string =>
      `<ListBucketResult><Name>b</Name>${more}<Contents><Key>cofre.json</Key><Size>1</Size></Contents></ListBucketResult>`;
    const again = page('<IsTruncated>true</IsTruncated><NextContinuationToken>same</NextContinuationToken>');
    for (const [text, message] of [
      ['<html><body>Please log in</body></html>', /gave a list without cofre\.json/],
      ['<ListBucketResult><Name>b</Name></ListBucketResult>', /gave a list without cofre\.json/],
      [again, /gives the same page of a list again and again/],
    ] as const) {
      double.fault = ({ query }) => (query.has('list-type') ? { answer: { status: 200, code: '', text } } : {});
      await assert.rejects(keys(bucket), { code: 'destination-unavailable', message });
    }
    double.fault = () => ({});
    assert.deepEqual(await keys(bucket), ['a/b']);
  });

  test('a marker of another kind, a bucket that is gone and one that was never prepared are not-mounted', async () => {
    const other = await server.bucket();
    const unprepared = new S3Destination('other', other);
    await assert.rejects(unprepared.put('a/b', small), { code: 'not-mounted', hint: /destination prepare other/ });
    await assert.rejects(new S3Destination('gone', { ...other, bucket: 'nowhere' }).stat('a'), { code: 'not-mounted' });
    assert.equal(await s3Place({ ...other, bucket: 'nowhere' }).state(), 'missing');
    assert.deepEqual(
      await Promise.all([1, 2, 3].map(() => s3Place(other).prepare())).then((made) => made.filter(Boolean).length),
      1,
    );
    assert.equal(await s3Place(other).prepare(), false);
    assert.equal(await unprepared.identity(), (await s3Place(other).identities())[0]);
  });
});
