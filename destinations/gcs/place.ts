import { randomUUID } from 'node:crypto';

import type { GcsConfig } from '../../config/destination-schema.ts';
import { CofreError } from '../../errors/error.ts';
import { MARKER, MARKER_MAX_BYTES, markerId, newMarker, requireId, stateOfPlace } from '../marker.ts';
import type { Place, PlaceState } from '../place.ts';
import { unlessMissing } from '../stored.ts';
import { GcsBucket } from './bucket.ts';
import { createObject } from './create-object.ts';
import { toGcsError } from './errors.ts';
import { readText } from './requests.ts';

/** What a service is tried out with. No key begins with a dot. */
const PROBE = '.cofre-probe-';

/** A bucket at Google Cloud Storage, or a folder in one, that is, or is to be, a destination. */
export function gcsPlace(config: GcsConfig): Place {
  const withBucket = async <T>(use: (bucket: GcsBucket) => Promise<T>): Promise<T> => {
    const bucket = new GcsBucket(config, { pageSize: 100 });
    try {
      return await use(bucket);
    } finally {
      bucket.close();
    }
  };
  return {
    what: `the bucket gs://${config.bucket}/${config.prefix ?? ''}`,
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
export async function requireGcsMarker(
  bucket: GcsBucket,
  name: string,
  signal: AbortSignal | undefined,
): Promise<string> {
  const text = await readMarker(bucket, signal);
  // A bucket that is not there is another trouble.
  if (text === undefined) await bucket.listPage(bucket.nameOf(MARKER), undefined, signal);
  const hint = `look whether it is the right one; if it is: cofre destination prepare ${name}`;
  return requireId(text, bucket.url, 'bucket', hint);
}

async function stateOf(bucket: GcsBucket): Promise<PlaceState> {
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

async function prepare(bucket: GcsBucket, evenIfNotEmpty: boolean): Promise<boolean> {
  if ((await readMarker(bucket, undefined)) !== undefined) return false;
  if (!(await isEmpty(bucket)) && !evenIfNotEmpty) {
    throw new CofreError('refused', `${bucket.url} is not empty: is it the right one?`, {
      hint: 'if it is: `cofre destination prepare NAME --force`',
    });
  }
  await requireConditions(bucket);
  // Somebody else may have prepared it at the same moment.
  return await create(bucket, MARKER, newMarker());
}

/** On a service that ignores conditions two hosts could both publish one backup: better known now than at night. */
async function requireConditions(bucket: GcsBucket): Promise<void> {
  const probe = `${PROBE}${randomUUID()}`;
  const ignored = (await create(bucket, probe, 'x')) && (await create(bucket, probe, 'y'));
  await bucket.remove(bucket.nameOf(probe), undefined).catch(ignoreDenied);
  if (!ignored) return;
  throw new CofreError(
    'refused',
    `the service of ${bucket.url} ignores ifGenerationMatch: it replaces objects that are there`,
    { hint: 'backups could be overwritten: take another service' },
  );
}

/** Gives false where there is an object of this name. */
async function create(bucket: GcsBucket, key: string, text: string): Promise<boolean> {
  try {
    await createObject(bucket, bucket.nameOf(key), Buffer.from(text), 'create', undefined);
    return true;
  } catch (error) {
    if (error instanceof CofreError && error.code === 'already-exists') return false;
    throw error;
  }
}

async function readMarker(bucket: GcsBucket, signal: AbortSignal | undefined): Promise<string | undefined> {
  const doing = `to give ${MARKER}`;
  const answer = await unlessMissing(
    bucket.ask(doing, {
      method: 'GET',
      url: bucket.objectUrl(bucket.nameOf(MARKER), { alt: 'media' }),
      headers: { range: `bytes=0-${MARKER_MAX_BYTES - 1}` },
      signal,
    }),
  );
  try {
    return answer === undefined ? undefined : await readText(answer.body);
  } catch (cause) {
    signal?.throwIfAborted();
    throw toGcsError(cause, `${bucket.url} failed ${doing}`);
  }
}

async function isEmpty(bucket: GcsBucket): Promise<boolean> {
  const { items } = await bucket.listPage(bucket.nameOf(''), undefined, undefined);
  return items.every(({ name = '' }) => name.startsWith(bucket.nameOf(PROBE)));
}

function ignoreDenied(error: unknown): void {
  if (!(error instanceof CofreError) || error.code !== 'access-denied') throw error;
}
