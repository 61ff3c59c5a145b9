import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

import { s3Place } from '../destinations/s3/place.ts';
import { S3Destination } from '../destinations/s3/s3.ts';
import { destination, type S3Config } from '../config/destination-schema.ts';
import { S3Server } from '../test/s3-server.ts';
import type { Bench } from './bench.ts';
import type { Contestant, Result } from './contest.ts';
import type { LibStorageOrder } from './lib-storage.ts';
import { makeObject, race, type ObjectFile } from './object.ts';
import { treeCpuMs } from './processes.ts';
import { rclonePut, rcloneGet } from './rclone.ts';

/** One object to an S3 service and back, beside rclone, and beside what the AWS SDK for JavaScript brings for it. */
export async function s3(bench: Bench): Promise<Result[]> {
  const server = await S3Server.start();
  try {
    const config = await s3Config(server);
    const file = await makeObject(bench, 's3-object');
    const remote = {
      ...{ type: 's3', provider: 'Other', endpoint: config.endpoint ?? '', no_check_bucket: 'true' },
      ...{ access_key_id: server.accessKeyId, secret_access_key: server.secretAccessKey, region: config.region },
    };
    const path = `${config.bucket}/stock`;
    const libStorage = startLibStorage(server, config, file);
    try {
      return await race(bench, {
        ...{ name: 's3', where: 'an S3 service', file },
        open: () => new S3Destination('bucket', config),
        putters: [rclonePut(bench, remote, file, path), libStorage.contestant],
        getters: [rcloneGet(bench, remote, path)],
      });
    } finally {
      libStorage.stop();
    }
  } finally {
    await server.stop();
  }
}

interface LibStorage {
  readonly contestant: Contestant;
  readonly stop: () => void;
}

/** A prepared bucket with the defaults that an operator has: those of the tests are smaller. */
export async function s3Config(server: S3Server): Promise<S3Config> {
  const { partSize: _partSize, connections: _connections, ...settings } = await server.bucket();
  const config = destination.parse(settings) as S3Config;
  await s3Place(config).prepare();
  return config;
}

/** In a process of its own, because what this one sets for its garbage is not what they have. */
function startLibStorage(server: S3Server, config: S3Config, { path }: ObjectFile): LibStorage {
  const child = fork(fileURLToPath(new URL('./lib-storage.js', import.meta.url)));
  const { accessKeyId, secretAccessKey } = server;
  const order: LibStorageOrder = {
    client: {
      ...{ region: config.region, endpoint: config.endpoint ?? '', forcePathStyle: true },
      credentials: { accessKeyId, secretAccessKey },
    },
    ...{ bucket: config.bucket, key: 'lib-storage', path },
  };
  const contestant: Contestant = {
    name: '@aws-sdk/lib-storage with its defaults',
    run: async () => {
      const answered = new AbortController();
      const { signal } = answered;
      const failed = once(child, 'exit', { signal }).then(() =>
        Promise.reject(new Error('lib-storage gave no answer')),
      );
      child.send(order);
      await Promise.race([once(child, 'message', { signal }), failed]).finally(() => answered.abort());
      return undefined;
    },
    cpu: { client: () => treeCpuMs(child.pid ?? 0), server: () => 0 },
  };
  return { contestant, stop: () => child.kill() };
}
