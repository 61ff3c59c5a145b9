import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListPartsCommand,
  UploadPartCommand,
  type CompletedPart,
  type ListPartsCommandOutput,
  type Part,
} from '@aws-sdk/client-s3';
import { crc32 } from '@node-rs/crc32';

import { CofreError } from '../../errors/error.ts';
import { BodyReader } from '../body-reader.ts';
import type { Body, PutOptions, StoreMode } from '../destination.ts';
import type { S3Bucket } from './bucket.ts';
import { checksumOf, crc32InBase64, isSame } from './checksum.ts';
import { endUploads, unfinishedUploads } from './unfinished.ts';

/** S3's own limit for one object. */
const MOST_PARTS = 10_000;

/** The size of a part for an object: as configured, or so large that 10,000 of them hold it. */
export function partBytesFor(sizeBytes: number, configured: string): number {
  return Math.max(Number.parseInt(configured) * 1_000_000, Math.ceil(sizeBytes / MOST_PARTS));
}

/**
 * Stores a large body in parts that are sent side by side. Nothing is remembered here: what an upload that was killed has
 * sent is found by asking the service, and a part counts when its size and checksum are those of the body. Gives the
 * CRC32 of the whole. A failure leaves the parts for the next try, unless the body itself was wrong.
 */
export async function uploadInParts(
  bucket: S3Bucket,
  name: string,
  body: Body,
  options: PutOptions,
  mode: StoreMode,
): Promise<number> {
  const upload = await findUpload(bucket, name, options.signal);
  const uploadId = upload?.uploadId ?? (await beginUpload(bucket, name, options.signal));
  const { parts, wholeCrc } = await sendParts(
    bucket,
    { name, uploadId, known: upload?.parts ?? new Map() },
    body,
    options,
  ).catch(async (error: unknown) => {
    // Parts of a wrong body are of no use to any try.
    if (error instanceof CofreError && error.code === 'bad-content') await endUploads(bucket, name, options.signal);
    throw error;
  });
  const full = bucket.config.checksum === 'crc32';
  await bucket.ask(`to put ${name} together`, options.signal, (client, call) =>
    client.send(
      new CompleteMultipartUploadCommand({
        Bucket: bucket.bucket,
        Key: name,
        UploadId: uploadId,
        MultipartUpload: { Parts: parts },
        ...onlyIf(mode),
        ...(full
          ? { ChecksumType: 'FULL_OBJECT', ChecksumCRC32: crc32InBase64(wholeCrc), MpuObjectSize: body.sizeBytes }
          : {}),
      }),
      call,
    ),
  );
  // Those of tries that began anew; of this name nothing is to come any more.
  await endUploads(bucket, name, options.signal);
  return wholeCrc;
}

/** The condition under which an object is stored. */
export function onlyIf(mode: StoreMode): { IfNoneMatch?: '*' } {
  return mode === 'create' ? { IfNoneMatch: '*' } : {};
}

interface Upload {
  readonly name: string;
  readonly uploadId: string;
  readonly known: ReadonlyMap<number, Part>;
}

/** The upload of this object that has most of it already. */
async function findUpload(
  bucket: S3Bucket,
  name: string,
  signal: AbortSignal | undefined,
): Promise<{ uploadId: string; parts: Map<number, Part> } | undefined> {
  let best: { uploadId: string; parts: Map<number, Part> } | undefined;
  for await (const upload of unfinishedUploads(bucket, name, signal)) {
    const kind = upload.ChecksumAlgorithm === 'CRC32' ? 'crc32' : 'md5';
    if (upload.name !== name || kind !== bucket.config.checksum) continue;
    const parts = await listParts(bucket, name, upload.uploadId, signal);
    if (best === undefined || parts.size > best.parts.size) best = { uploadId: upload.uploadId, parts };
  }
  return best;
}

async function listParts(
  bucket: S3Bucket,
  name: string,
  uploadId: string,
  signal: AbortSignal | undefined,
): Promise<Map<number, Part>> {
  const found = new Map<number, Part>();
  // Not the SDK's own way through the pages: a service that names a next one after the last would keep it for ever.
  for (let after: string | undefined = '0'; after !== undefined;) {
    const input = { Bucket: bucket.bucket, Key: name, UploadId: uploadId, PartNumberMarker: after };
    const page: ListPartsCommandOutput = await bucket.ask(`to list the parts of ${name}`, signal, (client, call) =>
      client.send(new ListPartsCommand(input), call),
    );
    for (const part of page.Parts ?? []) if (part.PartNumber !== undefined) found.set(part.PartNumber, part);
    after = page.IsTruncated === true ? page.NextPartNumberMarker : undefined;
  }
  return found;
}

async function beginUpload(bucket: S3Bucket, name: string, signal: AbortSignal | undefined): Promise<string> {
  const full = bucket.config.checksum === 'crc32';
  const { UploadId } = await bucket.ask(`to begin ${name}`, signal, (client, call) =>
    client.send(
      new CreateMultipartUploadCommand({
        Bucket: bucket.bucket,
        Key: name,
        ...bucket.newObject(),
        ...(full ? { ChecksumAlgorithm: 'CRC32', ChecksumType: 'FULL_OBJECT' } : {}),
      }),
      call,
    ),
  );
  return UploadId ?? '';
}

/** One pass over the body, in order: what the service has is only compared, the rest is sent while the pass goes on. */
async function sendParts(
  bucket: S3Bucket,
  upload: Upload,
  body: Body,
  { signal, onProgress, pace }: PutOptions,
): Promise<{ parts: CompletedPart[]; wholeCrc: number }> {
  const partBytes = partBytesFor(body.sizeBytes, bucket.config.partSize);
  const count = Math.ceil(body.sizeBytes / partBytes);
  // One of them is filled while the others are on their way; they are all the memory that is used.
  const length = Math.min(bucket.config.connections + 1, count);
  const free: Buffer[] = Array.from({ length }, () => Buffer.allocUnsafe(partBytes));
  const underWay = new Set<Promise<void>>();
  const stop = new AbortController();
  const either = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  const reader = new BodyReader(body, either);
  const parts: CompletedPart[] = [];
  let wholeCrc = 0;
  let storedBytes = 0;
  const stored = (bytes: number): void => {
    storedBytes += bytes;
    onProgress?.(storedBytes);
  };
  try {
    for (let number = 1; number <= count; number += 1) {
      while (free.length === 0) {
        await Promise.race(underWay);
        // The buffer of one that failed does not come back.
        either.throwIfAborted();
      }
      const buffer = free.pop() as Buffer;
      const last = number === count;
      const bytes = await reader.fill(last ? buffer.subarray(0, body.sizeBytes - (count - 1) * partBytes) : buffer);
      wholeCrc = crc32(bytes, wholeCrc);
      const checksum = checksumOf(bytes, bucket.config.checksum);
      const known = upload.known.get(number);
      if (last) await reader.finish();
      if (known?.ETag !== undefined && known.Size === bytes.length && isSame(checksum, known)) {
        parts[number - 1] = completed(number, known.ETag, checksum);
        free.push(buffer);
        stored(bytes.length);
        continue;
      }
      await pace?.(bytes.length);
      const sending = sendPart(bucket, upload, number, bytes, checksum, either).then(
        (etag) => {
          parts[number - 1] = completed(number, etag, checksum);
          free.push(buffer);
          stored(bytes.length);
        },
        (error: unknown) => stop.abort(error),
      );
      underWay.add(sending);
      void sending.then(() => underWay.delete(sending));
    }
    await Promise.all(underWay);
    either.throwIfAborted();
    return { parts, wholeCrc };
  } catch (error) {
    stop.abort(error);
    await Promise.all(underWay);
    signal?.throwIfAborted();
    throw error;
  } finally {
    await reader.close();
  }
}

function completed(number: number, etag: string, checksum: ReturnType<typeof checksumOf>): CompletedPart {
  return { PartNumber: number, ETag: etag, ...('ChecksumCRC32' in checksum ? checksum : {}) };
}

async function sendPart(
  bucket: S3Bucket,
  { name, uploadId }: Upload,
  number: number,
  bytes: Buffer,
  checksum: ReturnType<typeof checksumOf>,
  signal: AbortSignal,
): Promise<string> {
  const { ETag } = await bucket.ask(`to take part ${number} of ${name}`, signal, (client, call) =>
    client.send(
      new UploadPartCommand({
        Bucket: bucket.bucket,
        Key: name,
        UploadId: uploadId,
        PartNumber: number,
        Body: bytes,
        ContentLength: bytes.length,
        ...checksum,
      }),
      call,
    ),
  );
  return ETag ?? '';
}
