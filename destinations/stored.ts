import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';

import { CofreError } from '../errors/error.ts';
import type { Body, CallOptions, Destination, StoreMode } from './destination.ts';

/** What was asked of a destination; undefined where the object is not there. */
export async function unlessMissing<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof CofreError && error.code === 'not-found') return undefined;
    throw error;
  }
}

/** Whether a driver's comparison found the same bytes. What may be replaced may be another object. */
export async function isSame(compared: Promise<boolean>, mode: StoreMode): Promise<boolean> {
  try {
    return await compared;
  } catch (error) {
    if (mode === 'replace' && error instanceof CofreError && error.code === 'already-exists') return false;
    throw error;
  }
}

/**
 * Whether `body` is stored already, by reading what is there; `sizeBytes` is undefined where nothing is.
 * @throws CofreError `already-exists` when it is something else.
 */
export async function isStored(
  place: Pick<Destination, 'get' | 'url'>,
  { key, sizeBytes }: { readonly key: string; readonly sizeBytes: number | undefined },
  body: Body,
  { signal }: CallOptions,
): Promise<boolean> {
  if (sizeBytes === undefined) return false;
  if (sizeBytes === body.sizeBytes && (await hashOf(place, key, signal)) === body.sha256) return true;
  throw new CofreError('already-exists', `${key} exists in ${place.url} and is another object`, {
    hint: 'objects are never replaced: look who else writes there',
  });
}

/** What is said to a service that says yes and has something else. */
export function falseYes(url: string, key: string, what: string): CofreError {
  return new CofreError('destination-unavailable', `${url} said that it had stored ${key}, and ${what}`, {
    hint: 'no copy is counted; ask whoever runs that service',
  });
}

/** A small object, in memory. Of a larger one than `maxBytes` only so much is read as shows it: more than that. */
export async function bytesOf(stream: Readable, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    bytes += chunk.length;
    // Whoever can write there may have put anything.
    if (bytes > maxBytes) break;
  }
  return Buffer.concat(chunks);
}

/** SHA-256 of an object, read in full; undefined where there is none. `onProgress` is given the bytes so far. */
export async function hashOf(
  place: Pick<Destination, 'get'>,
  key: string,
  signal: AbortSignal | undefined,
  onProgress: (bytes: number) => void = () => undefined,
): Promise<string | undefined> {
  const stream = await unlessMissing(place.get(key, { signal }));
  if (stream === undefined) return undefined;
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    hash.update(chunk);
    bytes += chunk.length;
    onProgress(bytes);
  }
  return hash.digest('hex');
}
