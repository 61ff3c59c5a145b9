import { randomBytes } from 'node:crypto';
import { after } from 'node:test';

import type { S3Config } from '../../../config/destination-schema.ts';
import { s3Place } from '../../../destinations/s3/place.ts';
import { S3Destination } from '../../../destinations/s3/s3.ts';
import { S3Server } from '../../s3-server.ts';
import { FaultProxy } from '../../fault-proxy.ts';
import { SmallDisk } from '../../small-disk.ts';
import { describeDestination, type PreparedPlace } from '../contract.ts';
import { describeReplacing } from '../replacing.ts';

const server = await S3Server.start();
const proxy = await FaultProxy.start({ host: '127.0.0.1', port: server.port });
after(async () => {
  await proxy.stop();
  await server.stop();
});

for (const [title, more, port] of [
  ['S3', { prefix: 'some/folder' }, server.port],
  ['S3 through a proxy, without CRC32', { checksum: 'md5' }, proxy.port],
] as const) {
  const prepare = async (): Promise<PreparedPlace & { config: S3Config }> => {
    const config = await server.bucket(more, port);
    await s3Place(config).prepare();
    const cleanUps: (() => Promise<void>)[] = [];
    return {
      config,
      open: () => new S3Destination('bucket', config, { pageSize: 10 }),
      denied: async () => {
        process.env['COFRE_TEST_S3_WRONG'] = randomBytes(20).toString('hex');
        const credentials = { accessKeyId: 'env:COFRE_TEST_S3_ID', secretAccessKey: 'env:COFRE_TEST_S3_WRONG' };
        return new S3Destination('bucket', { ...config, credentials });
      },
      full: async () => {
        const disk = await SmallDisk.mount('8m');
        const small = await S3Server.start(disk.path);
        cleanUps.push(
          () => small.stop(),
          () => disk.unmount(),
        );
        const full = await small.bucket(more);
        await s3Place(full).prepare();
        return new S3Destination('full', full);
      },
      cleanUp: async () => {
        for (const cleanUp of cleanUps) await cleanUp();
      },
      secret: server.secretAccessKey,
    };
  };
  describeDestination(title, prepare);
  describeReplacing(title, prepare);
}
