import { Secret } from '../../config/secret.ts';
import { CofreError } from '../../errors/error.ts';
import type { StoreMode } from '../destination.ts';
import { onlyIf } from './create-object.ts';
import type { GcsBucket, ObjectResource } from './bucket.ts';
import { GcsRefusal, toGcsError } from './errors.ts';
import { readText, type HttpAnswer } from './requests.ts';

/** The service keeps whole pieces of this size of what it got; only the last of an object is smaller. */
export const PIECE_BYTES = 256 * 1024;

/** How far an upload is, as the service says. */
export type Progress =
  | { readonly state: 'open'; readonly confirmedBytes: number }
  | { readonly state: 'done'; readonly object: ObjectResource }
  /** It ended, expired, or was never there. */
  | { readonly state: 'gone' }
  /** What was sent is not what it was announced to be, as the service sees it: it is of no use any more. */
  | { readonly state: 'refused'; readonly why: string };

/** Begins an upload to a name that no object has, or whose object it will replace. The address that comes back is a secret. */
export async function beginSession(
  bucket: GcsBucket,
  name: string,
  sizeBytes: number,
  mode: StoreMode,
  signal: AbortSignal | undefined,
): Promise<Secret> {
  const metadata = Buffer.from(JSON.stringify({ name, contentType: 'application/octet-stream' }));
  const { headers, body } = await bucket.ask(`to begin ${name}`, {
    method: 'POST',
    url: bucket.uploadUrl({ uploadType: 'resumable', name, ...onlyIf(mode) }),
    headers: {
      'content-type': 'application/json; charset=UTF-8',
      'x-upload-content-type': 'application/octet-stream',
      'x-upload-content-length': String(sizeBytes),
    },
    body: [metadata],
    signal,
  });
  await readText(body);
  const { location } = headers;
  if (location === undefined) {
    throw new CofreError('destination-unavailable', `${bucket.url} began an upload of ${name} and gave no address`);
  }
  return new Secret(addressAt(bucket, location));
}

/**
 * A service behind a proxy may name itself by the address that it knows: where an endpoint is configured, that one leads to it.
 * Google's own stays as it is, and no other host gets the bytes.
 */
function addressAt(bucket: GcsBucket, location: string): string {
  const address = new URL(location, bucket.endpoint);
  if (bucket.config.endpoint !== undefined) {
    return new URL(address.pathname + address.search, bucket.endpoint).href;
  }
  if (address.protocol === 'https:' && /(^|\.)googleapis\.com$/.test(address.hostname)) return address.href;
  throw new CofreError('destination-unavailable', `${bucket.url} leads an upload to ${address.hostname}`, {
    hint: 'no bytes were sent there; look at the network between',
  });
}

export async function progressOf(
  bucket: GcsBucket,
  name: string,
  address: Secret,
  sizeBytes: number,
  { signal, once }: { signal: AbortSignal | undefined; once?: boolean },
): Promise<Progress> {
  const answer = await bucket.ask(`to say how far ${name} is`, {
    method: 'PUT',
    url: new URL(address.reveal()),
    headers: { 'content-range': `bytes */${sizeBytes}` },
    signal,
    expected: [308, 400, 404, 410, 499],
    ...(once === undefined ? {} : { once }),
  });
  return await progressIn(bucket, name, answer, signal);
}

/** Sends the bytes that stand at `start`. `crc32c` goes with the last of them: that of the whole object. */
export async function sendBytes(
  bucket: GcsBucket,
  name: string,
  address: Secret,
  part: { readonly bytes: Buffer; readonly start: number; readonly sizeBytes: number; readonly crc32c?: string },
  signal: AbortSignal | undefined,
): Promise<Progress> {
  const { bytes, start, sizeBytes, crc32c } = part;
  const answer = await bucket.ask(`to take ${name} from ${start} on`, {
    method: 'PUT',
    url: new URL(address.reveal()),
    headers: {
      'content-range': `bytes ${start}-${start + bytes.length - 1}/${sizeBytes}`,
      ...(crc32c === undefined ? {} : { 'x-goog-hash': `crc32c=${crc32c}` }),
    },
    body: [bytes],
    signal,
    expected: [308, 400, 404, 410, 499],
    once: true,
  });
  return await progressIn(bucket, name, answer, signal);
}

/** The service forgets what it has of it; whoever is still sending fails. */
export async function endSession(
  bucket: GcsBucket,
  name: string,
  address: Secret,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { body } = await bucket.ask(`to end the upload of ${name}`, {
    method: 'DELETE',
    url: new URL(address.reveal()),
    signal,
    // 499 is how Google says yes.
    expected: [400, 404, 410, 499],
  });
  await readText(body);
}

async function progressIn(
  bucket: GcsBucket,
  name: string,
  { status, headers, body }: HttpAnswer,
  signal: AbortSignal | undefined,
): Promise<Progress> {
  try {
    const text = await readText(body);
    if (status === 308) return { state: 'open', confirmedBytes: confirmedBytes(headers['range']) };
    if (status === 400) return { state: 'refused', why: toGcsError(new GcsRefusal(status, text), name).message };
    if (status >= 300) return { state: 'gone' };
    return { state: 'done', object: JSON.parse(text) as ObjectResource };
  } catch (cause) {
    signal?.throwIfAborted();
    throw toGcsError(cause, `${bucket.url} failed to take ${name}`);
  }
}

/**
 * Rounded down to whole pieces: what is sent once more the service passes over, and one that has nothing may say that it has
 * one byte (`bytes=0-0`). No range at all means that it has nothing.
 */
function confirmedBytes(range: string | undefined): number {
  const [, last] = /^bytes=0-(\d+)$/.exec(range ?? '') ?? [];
  const bytes = last === undefined ? 0 : Number(last) + 1;
  return bytes - (bytes % PIECE_BYTES);
}
