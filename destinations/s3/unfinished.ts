import { AbortMultipartUploadCommand, ListMultipartUploadsCommand } from '@aws-sdk/client-s3';

import { setTimeout as sleep } from 'node:timers/promises';

import { CofreError } from '../../errors/error.ts';
import type { S3Bucket } from './bucket.ts';
import { nameOf } from './errors.ts';

const MOST_TRIES = 8;
const LOOK_AGAIN_MS = 100;

export interface UnfinishedUpload {
  readonly name: string;
  readonly uploadId: string;
  readonly ChecksumAlgorithm: string | undefined;
  readonly beganAt: Date | undefined;
}

/** The uploads in parts that nobody ended, of names that begin with `beginning`. */
export async function* unfinishedUploads(
  bucket: S3Bucket,
  beginning: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<UnfinishedUpload> {
  let after: { KeyMarker?: string; UploadIdMarker?: string } | undefined = {};
  while (after !== undefined) {
    const marker: { KeyMarker?: string; UploadIdMarker?: string } = after;
    const page = await bucket.ask('to list unfinished uploads', signal, (client, call) =>
      client.send(
        new ListMultipartUploadsCommand({
          Bucket: bucket.bucket,
          Prefix: beginning,
          MaxUploads: bucket.pageSize,
          ...marker,
        }),
        call,
      ),
    );
    for (const { Key, UploadId, ChecksumAlgorithm, Initiated } of page.Uploads ?? []) {
      if (Key !== undefined && UploadId !== undefined)
        yield { name: Key, uploadId: UploadId, ChecksumAlgorithm, beganAt: Initiated };
    }
    const { IsTruncated, NextKeyMarker, NextUploadIdMarker } = page;
    after =
      IsTruncated === true && NextKeyMarker !== undefined
        ? {
            KeyMarker: NextKeyMarker,
            ...(NextUploadIdMarker === undefined ? {} : { UploadIdMarker: NextUploadIdMarker }),
          }
        : undefined;
  }
}

/**
 * Ends those of one name, or below a prefix that ends in '/', and lets the service forget their parts; whoever is still
 * sending some fails. A part that arrives in the same moment can bring an upload back, so it is looked again until there is none.
 * @throws CofreError `destination-unavailable` when they keep coming.
 */
export async function endUploads(bucket: S3Bucket, beginning: string, signal: AbortSignal | undefined): Promise<void> {
  for (let tries = 0; tries < MOST_TRIES; tries += 1) {
    let ended = 0;
    for await (const { name, uploadId } of unfinishedUploads(bucket, beginning, signal)) {
      if (name !== beginning && !beginning.endsWith('/')) continue;
      await endUpload(bucket, name, uploadId, signal);
      ended += 1;
    }
    if (ended === 0) return;
    if (tries > 0) await sleep(LOOK_AGAIN_MS * tries, undefined, signal === undefined ? {} : { signal });
  }
  throw new CofreError('destination-unavailable', `somebody goes on to upload to ${bucket.url} below ${beginning}`);
}

export async function endUpload(
  bucket: S3Bucket,
  name: string,
  uploadId: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  await bucket.ask(`to end the upload of ${name}`, signal, async (client, call) => {
    try {
      const input = { Bucket: bucket.bucket, Key: name, UploadId: uploadId };
      await client.send(new AbortMultipartUploadCommand(input), call);
    } catch (cause) {
      if (nameOf(cause).name !== 'NoSuchUpload') throw cause;
    }
  });
}
