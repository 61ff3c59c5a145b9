import type { DestinationConfig } from '../config/destination-schema.ts';
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
 * a directory removes what killed puts left when it is next written to.
 */
export async function findAbandoned(
  config: DestinationConfig,
  before: Date,
  signal: AbortSignal,
): Promise<Abandoned[]> {
  if (config.type !== 's3') return [];
  const bucket = new S3Bucket(config);
  const found: { name: string; uploadId: string }[] = [];
  try {
    for await (const { name, uploadId, beganAt } of unfinishedUploads(bucket, bucket.nameOf(''), signal)) {
      if (beganAt !== undefined && beganAt < before) found.push({ name, uploadId });
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
