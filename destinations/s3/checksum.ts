import { createHash } from 'node:crypto';

import { crc32 } from '@node-rs/crc32';

import type { S3Config } from '../../config/destination-schema.ts';

/** What proves to the service that it got the bytes that were sent, and to us that it has them. */
export type Checksum =
  | { readonly ChecksumCRC32: string }
  /** The service gives it back as the ETag. */
  | { readonly ContentMD5: string };

export function checksumOf(bytes: Buffer, kind: S3Config['checksum']): Checksum {
  return kind === 'crc32'
    ? { ChecksumCRC32: crc32InBase64(crc32(bytes)) }
    : { ContentMD5: createHash('md5').update(bytes).digest('base64') };
}

export function crc32InBase64(value: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes.toString('base64');
}

/** Whether the service says of a part that it has these bytes; one that says nothing has to get them again. */
export function isSame(
  checksum: Checksum,
  part: { ETag?: string | undefined; ChecksumCRC32?: string | undefined },
): boolean {
  if ('ChecksumCRC32' in checksum) return part.ChecksumCRC32 === checksum.ChecksumCRC32;
  const md5 = Buffer.from(checksum.ContentMD5, 'base64').toString('hex');
  return part.ETag?.replaceAll('"', '') === md5;
}
