import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import { GcsDestination } from '../destinations/gcs/gcs.ts';
import { gcsPlace } from '../destinations/gcs/place.ts';
import { GcsServer } from '../test/gcs-server.ts';
import type { Bench } from './bench.ts';
import type { Result } from './contest.ts';
import { makeObject, race } from './object.ts';
import { rcloneGet, rclonePut } from './rclone.ts';

/** One object to what stands for Google Cloud Storage and back, beside rclone. */
export async function gcs(bench: Bench): Promise<Result[]> {
  const root = join(bench.folder, 'gcs');
  await mkdir(root);
  const server = await GcsServer.start('fake', root);
  try {
    const config = await server.bucket();
    await gcsPlace(config).prepare();
    const uploads = join(bench.folder, 'uploads');
    await mkdir(uploads, { mode: 0o700 });
    const file = await makeObject(bench, 'gcs-object');
    const remote = {
      ...{ type: 'google cloud storage', endpoint: `${config.endpoint}/storage/v1/`, anonymous: 'true' },
      bucket_policy_only: 'true',
    };
    const path = `${config.bucket}/stock`;
    return await race(bench, {
      ...{ name: 'gcs', where: 'Google Cloud Storage (fake-gcs-server)', file },
      open: () => new GcsDestination('bucket', config, { uploads }),
      putters: [rclonePut(bench, remote, file, path)],
      getters: [rcloneGet(bench, remote, path)],
    });
  } finally {
    await server.stop();
  }
}
