import type { DestinationConfig, RcloneConfig, S3Config } from '../config/destination-schema.ts';
import { CofreError } from '../errors/error.ts';
import { filesBelow } from './rclone/entries.ts';
import { removeFile } from './rclone/put.ts';
import { RcloneRemote } from './rclone/remote.ts';
import { TEMPORARIES, beganAt } from './rclone/temporary.ts';
import { S3Bucket } from './s3/bucket.ts';
import { endUpload, unfinishedUploads } from './s3/unfinished.ts';

/** What a put has left in a place that shows it to nobody and may charge for it. */
export interface Abandoned {
  readonly key: string;
  /** Removes it; the put, should it still live, fails. */
  readonly remove: () => Promise<void>;
}

/**
 * What puts that began before `before` have left and never ended. A place whose driver cleans up after itself has none:
 * a directory removes what killed puts left when it is next written to, and GCS forgets an upload after a week by itself.
 */
export async function findAbandoned(
  config: DestinationConfig,
  before: Date,
  signal: AbortSignal,
): Promise<Abandoned[]> {
  switch (config.type) {
    case 's3':
      return await findInBucket(config, before, signal);
    case 'rclone':
      return await findOnRemote(config, before, signal);
    default:
      return [];
  }
}

async function findInBucket(config: S3Config, before: Date, signal: AbortSignal): Promise<Abandoned[]> {
  const bucket = new S3Bucket(config);
  const found: { name: string; uploadId: string }[] = [];
  try {
    for await (const { name, uploadId, beganAt: began } of unfinishedUploads(bucket, bucket.nameOf(''), signal)) {
      if (began !== undefined && began < before) found.push({ name, uploadId });
    }
  } finally {
    bucket.client.destroy();
  }
  return found.map(({ name, uploadId }) => ({
    key: bucket.keyOf(name),
    remove: async () => {
      const own = new S3Bucket(config);
      try {
        await endUpload(own, name, uploadId, signal);
      } finally {
        own.client.destroy();
      }
    },
  }));
}

/** A put there removes those of killed puts in its own folder only, and an attempt's folder is seldom written to again. */
async function findOnRemote(config: RcloneConfig, before: Date, signal: AbortSignal): Promise<Abandoned[]> {
  const remote = new RcloneRemote(config);
  const found: Abandoned[] = [];
  try {
    for await (const { path } of filesBelow(remote, '', signal, '--include', TEMPORARIES)) {
      const began = beganAt(path);
      if (began === undefined || began >= before) continue;
      found.push({ key: path, remove: async () => void (await removeFile(remote, path, signal)) });
    }
  } catch (error) {
    if (!(error instanceof CofreError) || error.code !== 'not-found') throw error;
  }
  return found;
}
