import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';

import type { GcsConfig } from '../../../config/destination-schema.ts';
import { GcsDestination } from '../../../destinations/gcs/gcs.ts';
import { gcsPlace } from '../../../destinations/gcs/place.ts';
import { FaultProxy } from '../../fault-proxy.ts';
import { GcsDouble } from '../../gcs-double.ts';
import { GcsServer } from '../../gcs-server.ts';
import { SmallDisk } from '../../small-disk.ts';
import { describeDestination, type PreparedPlace } from '../contract.ts';
import { describeReplacing } from '../replacing.ts';

const server = await GcsServer.start();
const guarded = await GcsDouble.start(server.port);
guarded.requireToken();
const proxy = await FaultProxy.start({ host: '127.0.0.1', port: guarded.port });
const folder = await mkdtemp(join(tmpdir(), 'cofre-gcs-keys-'));
const { good, wrong, secret } = await guarded.credentials(folder);
after(async () => {
  await proxy.stop();
  await guarded.stop();
  await server.stop();
  await rm(folder, { recursive: true });
});

const CHUNK_BYTES = 1024 * 1024;

for (const [title, more, port] of [
  ['GCS', { prefix: 'some/folder' }, server.port],
  ['GCS through a proxy, with credentials', { credentials: good }, proxy.port],
] as const) {
  const prepare = async (test: string): Promise<PreparedPlace & { config: GcsConfig }> => {
    const config = await server.bucket(more, port);
    await gcsPlace(config).prepare();
    const uploads = await mkdtemp(join(folder, 'uploads-'));
    const options = { pageSize: 10, chunkBytes: CHUNK_BYTES, uploads };
    const cleanUps: (() => Promise<void>)[] = [];
    return {
      config,
      open: () => new GcsDestination('bucket', config, options),
      denied: () => {
        const endpoint = `http://127.0.0.1:${guarded.port}`;
        return Promise.resolve(new GcsDestination('bucket', { ...config, endpoint, credentials: wrong }, options));
      },
      full: async () => {
        const disk = await SmallDisk.mount('8m');
        const small = await GcsServer.start('fake', disk.path);
        cleanUps.push(
          () => small.stop(),
          () => disk.unmount(),
        );
        const full = await small.bucket({ prefix: 'some/folder' });
        await gcsPlace(full).prepare();
        return new GcsDestination('full', full, options);
      },
      cleanUp: async () => {
        for (const cleanUp of cleanUps) await cleanUp();
        // What a cancelled put has sent is kept, for the next try or until its attempt is discarded.
        const left = await readdir(uploads);
        assert.ok(left.length <= (test.includes('cancelled') ? 1 : 0), `${test}: ${left.join(' ')}`);
      },
      secret,
    };
  };
  describeDestination(title, prepare);
  describeReplacing(title, prepare);
}
