import assert from 'node:assert/strict';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { compareFingerprints, fingerprintDatabase, type Fingerprint } from '../../demo/compare-databases.ts';
import { FaultProxy } from '../fault-proxy.ts';
import { searchAttributes } from '../../workflows/search-attributes.ts';
import { S3Server } from '../s3-server.ts';
import { until } from '../until.ts';
import { Installation } from './installation.ts';
import { sampleSql } from './sample-data.ts';

interface RunResult {
  readonly state: string;
  readonly backupId: string;
  readonly copies: readonly {
    readonly destination: string;
    readonly state: string;
    readonly reason?: { code: string };
  }[];
  readonly error?: { readonly code: string; readonly message: string };
}

describe('backups to a volume and a bucket, by the command line', () => {
  let installation: Installation;
  let server: S3Server;
  let proxy: FaultProxy;
  let fingerprint: Fingerprint;
  let bucketFolder: string;
  const backups: string[] = [];

  before(async () => {
    server = await S3Server.start();
    proxy = await FaultProxy.start({ host: '127.0.0.1', port: server.port });
    const bucket = await server.bucket({ prefix: 'acme' }, proxy.port);
    bucketFolder = join(server.root, bucket.bucket, 'acme');
    installation = await Installation.create([{ id: 'prod' }, { id: 'stream', pipeline: 'streamed' }], {}, (config) => {
      Object.assign(config['destinations'] as object, { bucket });
      for (const policy of Object.values(config['policies'] as Record<string, object>))
        Object.assign(policy, { copies: { to: ['volume', 'bucket'], complete: 1 }, endsWithin: '60m' });
    });
    for (const id of ['prod', 'stream']) await installation.createEnvironmentDatabase(id, sampleSql(5_000));
    fingerprint = await fingerprintDatabase(installation.target('prod'));
    await installation.startWorker();
  });

  after(async () => {
    await installation.remove();
    await proxy.stop();
    await server.stop();
  });

  it('apply has prepared the bucket, and doctor finds it', async () => {
    assert.deepEqual((await readdir(bucketFolder)).sort(), ['cofre.json']);
    const { stdout } = await installation.cofre(['doctor']);
    assert.match(stdout, /ok +destination: bucket: the bucket s3:\/\/bucket-1\/acme is there and can be read/);
  });

  for (const environment of ['prod', 'stream']) {
    it(`makes and verifies both copies of ${environment}, the same in both places`, async () => {
      const result = await installation.json<RunResult>(['backup', environment]);
      assert.equal(result.state, 'complete', JSON.stringify(result));
      backups.push(result.backupId);
      const below = async (root: string): Promise<string[]> =>
        (await readdir(join(root, environment), { recursive: true })).sort();
      assert.deepEqual(await below(bucketFolder), await below(installation.backups));
      assert.deepEqual(await readdir(join(installation.spool, environment)), [], 'nothing is left in the spool');
    });
  }

  it('show says where each copy lies, and how stock tools restore from the bucket', async () => {
    const [id = ''] = backups;
    const { stdout } = await installation.cofre(['show', id]);
    assert.match(stdout, new RegExp(`s3://bucket-1/acme/prod/${id}/`));
    const commands = (await installation.cofre(['show', id, '--commands'])).stdout;
    assert.match(
      commands,
      new RegExp(`aws s3 cp --region us-east-1 --endpoint-url \\S+ s3://bucket-1/acme/prod/${id}/\\S+ archive`),
    );
    assert.match(commands, /[0-9a-f]{64} {2}archive/);
  });

  it('restores from the bucket when the volume has lost its copy', async () => {
    const [id = ''] = backups;
    await rm(join(installation.backups, 'prod', id), { recursive: true });
    await installation.dropDatabase('prod');
    const result = await installation.json<{ state: string; restoreId: string }>([
      'restore',
      '--backup',
      id,
      '--to',
      'prod',
      '--yes',
    ]);
    assert.equal(result.state, 'restored', JSON.stringify(result));
    assert.deepEqual(compareFingerprints(fingerprint, await fingerprintDatabase(installation.target('prod'))), []);
  });

  it('case 43: a bucket that is down: the run waits for it by name, the other copy is made, and it goes on when it is back', async () => {
    proxy.refuse();
    const started = await installation.json<{ workflowId: string }>(['backup', 'prod', '--no-follow']);
    const client = await installation.client();
    const handle = client.workflow.getHandle(started.workflowId);
    try {
      await until('it waits for the bucket', async () => {
        const { typedSearchAttributes } = await handle.describe();
        return typedSearchAttributes.get(searchAttributes.needs) === 'resource';
      });
      // The dump stays as long as a copy is missing.
      assert.equal((await readdir(join(installation.spool, 'prod'))).length, 1);
      proxy.restore();
      const result = (await handle.result()) as RunResult;
      assert.equal(result.state, 'complete');
      assert.deepEqual(
        result.copies.map(({ state }) => state),
        ['verified', 'verified'],
      );
    } finally {
      await client.connection.close();
    }
  });
});
