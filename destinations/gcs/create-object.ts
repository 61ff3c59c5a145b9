import { randomBytes } from 'node:crypto';

import type { GcsBucket, ObjectResource } from './bucket.ts';
import { crc32cOf } from './checksum.ts';

/**
 * Stores a small object in one request, on the condition that there is none of the name. The service compares what arrives
 * with the checksum. @throws CofreError `already-exists`.
 */
export async function createObject(
  bucket: GcsBucket,
  name: string,
  bytes: Buffer,
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
    url: bucket.uploadUrl({ uploadType: 'multipart', name, ifGenerationMatch: '0' }),
    headers: { 'content-type': `multipart/related; boundary=${boundary}` },
    body: [Buffer.from(head.join('\r\n')), bytes, Buffer.from(`\r\n--${boundary}--\r\n`)],
    signal,
  });
  return { object, crc32c };
}
