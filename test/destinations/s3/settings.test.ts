import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectRetentionCommand,
  ListMultipartUploadsCommand,
  ListObjectVersionsCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';

import type { S3Config } from '../../../config/destination-schema.ts';
import { bytesBody } from '../../../destinations/local-file.ts';
import { S3Bucket } from '../../../destinations/s3/bucket.ts';
import { s3Place } from '../../../destinations/s3/place.ts';
import { partBytesFor } from '../../../destinations/s3/upload.ts';
import { S3Destination } from '../../../destinations/s3/s3.ts';
import { S3Double } from '../../s3-double.ts';
import { S3Server } from '../../s3-server.ts';
import { keys, read } from '../contract.ts';

const server = await S3Server.start();
after(() => server.stop());

async function prepared(more: Partial<S3Config> = {}, port?: number): Promise<S3Config> {
  const config = await server.bucket(more, port);
  await s3Place(config).prepare();
  return config;
}

describe('S3, its settings', () => {
  test('case 102: with an object lock even the credentials that stored it can neither remove nor replace it', async () => {
    const config: S3Config = {
      ...(await server.bucket()),
      bucket: 'locked',
      objectLock: { mode: 'compliance', days: 3 },
    };
    const { client } = new S3Bucket(config);
    await client.send(new CreateBucketCommand({ Bucket: 'locked', ObjectLockEnabledForBucket: true }));
    await s3Place(config).prepare();
    const bucket = new S3Destination('locked', config);
    const bodies = { 'a/small': bytesBody(Buffer.from('x')), 'a/large': bytesBody(randomBytes(7_000_000)) };
    for (const [key, body] of Object.entries(bodies)) {
      await bucket.put(key, body);
      const { Retention } = await client.send(new GetObjectRetentionCommand({ Bucket: 'locked', Key: key }));
      assert.equal(Retention?.Mode, 'COMPLIANCE');
      const days = ((Retention?.RetainUntilDate?.getTime() ?? 0) - Date.now()) / 86_400_000;
      assert.ok(days > 2.9 && days <= 3, `${days} days`);
      await assert.rejects(bucket.put(key, bytesBody(Buffer.from('other'))), { code: 'already-exists' });
      // Whoever has the credentials and not our driver: a new version may hide the object, and takes nothing away.
      const { Versions } = await client.send(new ListObjectVersionsCommand({ Bucket: 'locked', Prefix: key }));
      const VersionId = Versions?.[0]?.VersionId;
      await assert.rejects(client.send(new DeleteObjectCommand({ Bucket: 'locked', Key: key, VersionId })), {
        name: /AccessDenied|InvalidRequest|ObjectLocked/,
      });
      await client.send(new PutObjectCommand({ Bucket: 'locked', Key: key, Body: 'other' })).catch(() => undefined);
      const left = await client.send(new ListObjectVersionsCommand({ Bucket: 'locked', Prefix: key }));
      assert.ok(left.Versions?.some((version) => version.VersionId === VersionId));
    }
    client.destroy();
    await bucket.close();
  });

  test('what the service is to encrypt with goes with every new object', async () => {
    const double = await S3Double.start(server.port);
    const config = await prepared({ encryption: 'kms', kmsKey: 'key-1' }, double.port);
    // The gateway keeps no keys; what matters is what it is asked for.
    double.fault = ({ headers }) =>
      headers['x-amz-server-side-encryption'] === undefined ? {} : { answer: { status: 400, code: 'Seen' } };
    const bucket = new S3Destination('bucket', config);
    for (const body of [bytesBody(Buffer.from('x')), bytesBody(randomBytes(7_000_000))]) {
      double.asked.length = 0;
      await assert.rejects(bucket.put('a/b', body), /Seen/);
      const seen = double.asked.filter(({ headers }) => headers['x-amz-server-side-encryption'] === 'aws:kms');
      assert.ok(seen.length > 0);
      assert.equal(seen[0]?.headers['x-amz-server-side-encryption-aws-kms-key-id'], 'key-1');
    }
    await bucket.close();
    await double.stop();
  });

  test('parts respect what S3 allows: 10,000 of them, whatever the size', () => {
    assert.equal(partBytesFor(1, '16MB'), 16_000_000);
    assert.equal(partBytesFor(160_000_000_000, '16MB'), 16_000_000);
    for (const sizeBytes of [160_000_000_001, 5_000_000_000_000]) {
      assert.ok(Math.ceil(sizeBytes / partBytesFor(sizeBytes, '16MB')) <= 10_000);
    }
  });

  test('parts of uploads that nobody ended are gone once their attempt is discarded, and no others', async () => {
    const config = await prepared({ connections: 1 });
    const bucket = new S3Destination('bucket', config);
    for (const key of ['a/b/1/data', 'a/b/2/data']) {
      const controller = new AbortController();
      const onProgress = (): void => controller.abort(new Error('killed'));
      await assert.rejects(
        bucket.put(key, bytesBody(randomBytes(13_000_000)), { signal: controller.signal, onProgress }),
        {
          message: 'killed',
        },
      );
    }
    const { client } = new S3Bucket(config);
    const unfinished = async (): Promise<string[]> => {
      const { Uploads } = await client.send(new ListMultipartUploadsCommand({ Bucket: config.bucket }));
      return (Uploads ?? []).map(({ Key = '' }) => Key).sort();
    };
    assert.deepEqual(await unfinished(), ['a/b/1/data', 'a/b/2/data']);
    await bucket.discard('a/b/1/');
    assert.deepEqual(await unfinished(), ['a/b/2/data']);
    client.destroy();
    await bucket.close();
  });

  test('what others have put into the folder is no object, and the marker is none either', async () => {
    const config = await prepared({ prefix: 'p' });
    const bucket = new S3Destination('bucket', config);
    await bucket.put('a/b', bytesBody(Buffer.from('x')));
    await mkdir(join(server.root, config.bucket, 'p', '.hidden'), { recursive: true });
    await writeFile(join(server.root, config.bucket, 'p', '.hidden', 'b'), 'x');
    await writeFile(join(server.root, config.bucket, 'p', 'a', 'not a key'), 'x');
    await writeFile(join(server.root, config.bucket, 'outside'), 'x');
    assert.deepEqual(await keys(bucket), ['a/b']);
    assert.equal((await read(bucket, 'a/b')).toString(), 'x');
    await bucket.close();
  });

  test('credentials that are not there are named by their reference, and a rotated file is read again', async () => {
    const config = await prepared();
    const missing = { accessKeyId: 'env:COFRE_TEST_NOT_SET', secretAccessKey: 'env:COFRE_TEST_NOT_SET' };
    const bucket = new S3Destination('bucket', { ...config, credentials: missing });
    await assert.rejects(bucket.stat('a'), { code: 'secret-missing', message: /env:COFRE_TEST_NOT_SET/ });
    process.env['COFRE_TEST_ROTATED'] = 'old';
    const credentials = { accessKeyId: 'env:COFRE_TEST_S3_ID', secretAccessKey: 'env:COFRE_TEST_ROTATED' };
    await assert.rejects(new S3Destination('bucket', { ...config, credentials }).stat('a'), { code: 'access-denied' });
    process.env['COFRE_TEST_ROTATED'] = server.secretAccessKey;
    await assert.rejects(new S3Destination('bucket', { ...config, credentials }).stat('a'), { code: 'not-found' });
    await bucket.close();
  });
});
