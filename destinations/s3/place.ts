import { DeleteObjectCommand, GetObjectCommand, ListObjectsV2Command, PutObjectCommand } from '@aws-sdk/client-s3';
import { randomUUID } from 'node:crypto';

import type { S3Config } from '../../config/destination-schema.ts';
import { CofreError } from '../../errors/error.ts';
import { MARKER, markerId, newMarker, requireId, stateOfPlace } from '../marker.ts';
import type { Place, PlaceState } from '../place.ts';
import { unlessMissing } from '../stored.ts';
import { S3Bucket } from './bucket.ts';
import { checksumOf } from './checksum.ts';

/** What a service is tried out with. No key begins with a dot. */
const PROBE = '.cofre-probe-';

/** A bucket, or a folder in one, that is, or is to be, a destination. */
export function s3Place(config: S3Config): Place {
  const withBucket = async <T>(use: (bucket: S3Bucket) => Promise<T>): Promise<T> => {
    const bucket = new S3Bucket(config);
    try {
      return await use(bucket);
    } finally {
      bucket.client.destroy();
    }
  };
  const url = `s3://${config.bucket}/${config.prefix ?? ''}`;
  return {
    what: `the bucket ${url}`,
    hints: { missing: 'make the bucket', empty: 'look whether it is the right one' },
    state: () => withBucket(stateOf),
    identities: () =>
      withBucket(async (bucket) => {
        const text = await readMarker(bucket, undefined).catch(() => undefined);
        const id = text === undefined ? undefined : markerId(text);
        return id === undefined ? [] : [id];
      }),
    prepare: ({ evenIfNotEmpty = false } = {}) => withBucket((bucket) => prepare(bucket, evenIfNotEmpty)),
  };
}

/** Gives the id in the bucket's marker. @throws CofreError `not-mounted` when there is none. */
export async function requireS3Marker(
  bucket: S3Bucket,
  name: string,
  signal: AbortSignal | undefined,
): Promise<string> {
  const text = await readMarker(bucket, signal);
  const hint = `look whether it is the right one; if it is: cofre destination prepare ${name}`;
  return requireId(text, bucket.url, 'bucket', hint);
}

async function stateOf(bucket: S3Bucket): Promise<PlaceState> {
  try {
    return await stateOfPlace(
      () => readMarker(bucket, undefined),
      async () => ((await isEmpty(bucket)) ? 'empty' : 'not-empty'),
    );
  } catch (error) {
    if (error instanceof CofreError && error.code === 'not-mounted') return 'missing';
    throw error;
  }
}

async function prepare(bucket: S3Bucket, evenIfNotEmpty: boolean): Promise<boolean> {
  if ((await readMarker(bucket, undefined)) !== undefined) return false;
  if (!evenIfNotEmpty && !(await isEmpty(bucket))) {
    throw new CofreError('refused', `${bucket.url} is not empty: is it the right one?`, {
      hint: 'if it is: `cofre destination prepare NAME --force`',
    });
  }
  await requireConditions(bucket);
  // Somebody else may have prepared it at the same moment.
  return await create(bucket, MARKER, newMarker());
}

/** On a service that ignores conditions two hosts could both publish one backup: better known now than at night. */
async function requireConditions(bucket: S3Bucket): Promise<void> {
  const probe = `${PROBE}${randomUUID()}`;
  const ignored = (await create(bucket, probe, 'x')) && (await create(bucket, probe, 'y'));
  await remove(bucket, probe).catch(ignoreDenied);
  if (!ignored) return;
  throw new CofreError(
    'refused',
    `the service of ${bucket.url} ignores If-None-Match: it replaces objects that are there`,
    {
      hint: 'backups could be overwritten: take another service, or a newer version of it',
    },
  );
}

/** Gives false where there is an object of this name. */
async function create(bucket: S3Bucket, key: string, text: string): Promise<boolean> {
  const bytes = Buffer.from(text);
  try {
    await bucket.ask(`to store ${key}`, undefined, (client) =>
      client.send(
        new PutObjectCommand({
          Bucket: bucket.bucket,
          Key: bucket.nameOf(key),
          Body: bytes,
          IfNoneMatch: '*',
          ...checksumOf(bytes, bucket.config.checksum),
        }),
      ),
    );
    return true;
  } catch (error) {
    if (error instanceof CofreError && error.code === 'already-exists') return false;
    throw error;
  }
}

async function remove(bucket: S3Bucket, key: string): Promise<void> {
  await bucket.ask(`to remove ${key}`, undefined, (client) =>
    client.send(new DeleteObjectCommand({ Bucket: bucket.bucket, Key: bucket.nameOf(key) })),
  );
}

async function readMarker(bucket: S3Bucket, signal: AbortSignal | undefined): Promise<string | undefined> {
  return await unlessMissing(
    bucket.ask(`to give ${MARKER}`, signal, async (client, call) => {
      const input = { Bucket: bucket.bucket, Key: bucket.nameOf(MARKER), Range: 'bytes=0-4095' };
      const { Body } = await client.send(new GetObjectCommand(input), call);
      return await Body?.transformToString('utf8');
    }),
  );
}

async function isEmpty(bucket: S3Bucket): Promise<boolean> {
  const { Contents } = await bucket.ask('to list', undefined, (client) =>
    client.send(new ListObjectsV2Command({ Bucket: bucket.bucket, Prefix: bucket.nameOf(''), MaxKeys: 100 })),
  );
  return (Contents ?? []).every(({ Key = '' }) => Key.startsWith(bucket.nameOf(PROBE)));
}

function ignoreDenied(error: unknown): void {
  if (!(error instanceof CofreError) || error.code !== 'access-denied') throw error;
}
