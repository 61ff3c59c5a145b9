import { randomBytes } from 'node:crypto';

import type { StoreMode } from '../destination.ts';
import type { GcsBucket, ObjectResource } from './bucket.ts';
import { crc32cOf } from './checksum.ts';

/** The condition under which an object is stored. */
export function onlyIf(mode: StoreMode): Readonly<Record<string, string>> {
  return mode === 'create' ? { ifGenerationMatch: '0' } : {};
}

/**
 * Stores a small object in one request, on the condition that there is none of the name, or none at all. The service compares what arrives
 * with the checksum. @throws CofreError `already-exists`.
 */
export async function createObject(
  bucket: GcsBucket,
  name: string,
  bytes: Buffer,
  mode: StoreMode,
  signal: AbortSignal | undefined,
): Promise<{ object: ObjectResource; crc32c: string }> {
  const crc32c = crc32cOf(bytes);
  const boundary = `cofre-${randomBytes(16).toString('hex')}`;
  const metadata = JSON.stringify({ name, contentType: 'application/octet-stream', crc32c });
  const head = [
    `--${boundary}`,
    'Content-Type: application/json; charset=UTF-8',
    '',
    metadata,
    `--${boundary}`,
    'Content-Type: application/octet-stream',
    '',
    '',
  ];
  const object = await bucket.askJson<ObjectResource>(`to store ${bucket.keyOf(name)}`, {
    method: 'POST',
    url: bucket.uploadUrl({ uploadType: 'multipart', name, ...onlyIf(mode) }),
    headers: { 'content-type': `multipart/related; boundary=${boundary}` },
    body: [Buffer.from(head.join('\r\n')), bytes, Buffer.from(`\r\n--${boundary}--\r\n`)],
    signal,
  });
  return { object, crc32c };
}
