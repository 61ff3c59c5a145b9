import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import type { DestinationConfig } from '../../config/destination-schema.ts';
import { prepareDirectory } from '../../destinations/directory/marker.ts';
import { gcsPlace } from '../../destinations/gcs/place.ts';
import { bytesBody } from '../../destinations/local-file.ts';
import { openDestination } from '../../destinations/open.ts';
import { s3Place } from '../../destinations/s3/place.ts';
import { sftpPlace } from '../../destinations/sftp/place.ts';
import { GcsServer } from '../gcs-server.ts';
import { S3Server } from '../s3-server.ts';
import { SshServer } from '../ssh-server.ts';
import { read } from './contract.ts';

const BYTES = 2_000_000;

describe('a bandwidth limit', () => {
  let folder: string;
  let service: S3Server;
  let google: GcsServer;
  let server: SshServer;
  let places: Record<string, DestinationConfig>;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'cofre-bandwidth-'));
    await prepareDirectory(folder);
    service = await S3Server.start();
    google = await GcsServer.start();
    server = await SshServer.start();
    const bucket = await service.bucket({});
    await s3Place(bucket).prepare();
    const gcs = await google.bucket();
    await gcsPlace(gcs).prepare();
    const offsite = server.config(await server.root('limited'));
    await sftpPlace(offsite).prepare();
    places = { directory: { type: 'directory', path: folder, shared: true }, s3: bucket, gcs, sftp: offsite };
  });
  after(async () => {
    await service.stop();
    await google.stop();
    await server.remove();
    await rm(folder, { recursive: true });
  });

  test('holds for what is sent and read by all handles of one destination together', async () => {
    for (const [name, config] of Object.entries(places)) {
      const limited = { ...config, bandwidth: '4MB/s' };
      const [one, two] = [openDestination(name, limited), openDestination(name, limited)];
      const startedAt = performance.now();
      const body = bytesBody(randomBytes(BYTES));
      await Promise.all([one.put('a/one', body), two.put('a/two', body)]);
      const sentMs = performance.now() - startedAt;
      assert.equal((await read(two, 'a/one')).length, BYTES);
      const allMs = performance.now() - startedAt;
      // Two times two MB with four a second; the first moment's share passes at once.
      assert.ok(sentMs >= 700, `${name} sent in ${sentMs} ms`);
      assert.ok(allMs >= 1_200, `${name} sent and read in ${allMs} ms`);
      await one.close();
      await two.close();
    }
  });

  test('waits no longer when the put is cancelled, and passes on the reason', async () => {
    for (const [name, config] of Object.entries(places)) {
      const slow = openDestination(name, { ...config, bandwidth: '1kB/s' });
      const controller = new AbortController();
      const reason = new Error('the operator cancelled');
      const put = slow.put('a/cancelled', bytesBody(randomBytes(BYTES)), { signal: controller.signal });
      const told = assert.rejects(put, (error) => error === reason, name);
      setTimeout(() => controller.abort(reason), 200);
      await told;
      await assert.rejects(slow.stat('a/cancelled'), { code: 'not-found' });
      await slow.close();
    }
  });
});
