import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile, copyFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { inspect } from 'node:util';

import type { GcsConfig } from '../../../config/destination-schema.ts';
import { GcsDestination } from '../../../destinations/gcs/gcs.ts';
import { gcsPlace } from '../../../destinations/gcs/place.ts';
import { bytesBody } from '../../../destinations/local-file.ts';
import type { CofreError } from '../../../errors/error.ts';
import { GcsDouble } from '../../gcs-double.ts';
import { GcsServer } from '../../gcs-server.ts';
import { keys, read } from '../contract.ts';

const server = await GcsServer.start();
const double = await GcsDouble.start(server.port);
double.requireToken();
const folder = await mkdtemp(join(tmpdir(), 'cofre-gcs-access-'));
const credentials = await double.credentials(folder);
after(async () => {
  await double.stop();
  await server.stop();
  await rm(folder, { recursive: true });
});

async function prepared(more: Partial<GcsConfig> = {}): Promise<GcsConfig> {
  const config = await server.bucket({ credentials: credentials.good, ...more }, double.port);
  await gcsPlace(config).prepare();
  return config;
}

describe('GCS, who may do what', () => {
  test('the key of a service account, and the token of a workload, open it', async () => {
    const config = await prepared({ prefix: 'p' });
    for (const login of [credentials.good, credentials.serviceAccount]) {
      const bucket = new GcsDestination('bucket', { ...config, credentials: login });
      await bucket.put('a/b', bytesBody(Buffer.from('x')));
      assert.equal((await read(bucket, 'a/b')).toString(), 'x');
      await bucket.close();
    }
  });

  test('a service that is not Google’s is shown no credentials of the machine', async () => {
    process.env['GOOGLE_APPLICATION_CREDENTIALS'] = credentials.good.slice('file:'.length);
    const { credentials: _, ...config } = await prepared();
    const bucket = new GcsDestination('bucket', config);
    await assert.rejects(bucket.stat('a'), { code: 'access-denied' });
    delete process.env['GOOGLE_APPLICATION_CREDENTIALS'];
    await bucket.close();
  });

  test('credentials that are not there, or are none, are named by their reference and never shown', async () => {
    const config = await prepared();
    const canary = join(folder, 'canary.json');
    const refusal = async (login: string): Promise<CofreError> => {
      const bucket = new GcsDestination('bucket', { ...config, credentials: login });
      const error: unknown = await bucket.stat('a').catch((failure: unknown) => failure);
      await bucket.close();
      assert.ok(!inspect(error, { depth: 10, showHidden: true }).includes('CANARY'));
      return error as CofreError;
    };
    const missing = await refusal('env:COFRE_TEST_NOT_SET');
    assert.equal(missing.code, 'secret-missing');
    assert.match(missing.message, /env:COFRE_TEST_NOT_SET/);
    const account = '"type":"service_account","private_key":"CANARY"';
    for (const text of [
      '{ "type": 7, "private_key": "CANARY" ',
      '["CANARY"]',
      '{"type":"CANARY"}',
      `{${account}}`,
      `{${account},"client_email":"a@b","universe_domain":"universe.example"}`,
    ]) {
      await writeFile(canary, text);
      const refused = await refusal(`file:${canary}`);
      assert.equal(refused.code, 'bad-config', `${text}: ${refused.message}`);
      assert.ok(refused.message.includes(canary) || refused.message.includes('key'), refused.message);
    }
  });

  test('a file that was changed is read again by the next step', async () => {
    const config = await prepared();
    const rotated = join(folder, 'rotated.json');
    await copyFile(credentials.wrong.slice('file:'.length), rotated);
    const now = (): GcsDestination => new GcsDestination('bucket', { ...config, credentials: `file:${rotated}` });
    await assert.rejects(now().stat('a'), { code: 'access-denied' });
    await copyFile(credentials.good.slice('file:'.length), rotated);
    await assert.rejects(now().stat('a'), { code: 'not-found' });
  });

  test('case 44: a clock that is wrong is named', async () => {
    const config = await prepared();
    double.tokenError = {
      error: 'invalid_grant',
      error_description:
        'Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.',
    };
    const bucket = new GcsDestination('bucket', config);
    await assert.rejects(bucket.stat('a'), { code: 'access-denied', message: /iat and exp/, hint: /clock/ });
    double.tokenError = undefined;
    await bucket.close();
  });

  test('what others have put into the folder is no object, and the marker is none either', async () => {
    const config = await prepared({ prefix: 'p' });
    const bucket = new GcsDestination('bucket', config);
    await bucket.put('a/b', bytesBody(Buffer.from('x')));
    for (const name of ['p/.hidden/b', 'p/a/not a key', 'outside', 'p/folder/']) {
      const at = `http://127.0.0.1:${server.port}/upload/storage/v1/b/${config.bucket}/o?uploadType=media&name=${encodeURIComponent(name)}`;
      assert.ok((await fetch(at, { method: 'POST', body: 'x' })).ok);
    }
    assert.deepEqual(await keys(bucket), ['a/b']);
    await bucket.close();
  });
});
