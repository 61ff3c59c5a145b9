import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { Readable } from 'node:stream';

import type { Body } from './destination.ts';

const READ_BYTES = 1024 * 1024;

/** A file of this machine as what a put stores. Size and hash are those that the file had when it was finished. */
export function localFileBody(path: string, sizeBytes: number, sha256: string): Body {
  return {
    sizeBytes,
    sha256,
    path,
    open: (offset = 0) => createReadStream(path, { start: offset, highWaterMark: READ_BYTES }),
  };
}

/** A few bytes, such as a manifest, as what a put stores. */
export function bytesBody(bytes: Buffer): Body {
  return {
    sizeBytes: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    open: (offset = 0) => Readable.from([bytes.subarray(offset)], { objectMode: false }),
  };
}

export interface HashOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called with the number of bytes read so far. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
}

export interface Hashed {
  readonly sizeBytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
}

/** Size and SHA-256 of a file. Fails with the file system's own error, and with the signal's reason. */
export async function hashFile(path: string, options: HashOptions = {}): Promise<Hashed> {
  const file = await open(path);
  try {
    return await hashOpenFile(file, options);
  } finally {
    await file.close();
  }
}

/** The same for an open file, from its beginning. The caller closes it. */
export async function hashOpenFile(file: FileHandle, { signal, onProgress }: HashOptions = {}): Promise<Hashed> {
  const hash = createHash('sha256');
  // One buffer for the whole file, so that memory stays flat.
  const buffer = Buffer.allocUnsafe(READ_BYTES);
  let sizeBytes = 0;
  for (;;) {
    signal?.throwIfAborted();
    const { bytesRead } = await file.read(buffer, 0, buffer.length, sizeBytes);
    if (bytesRead === 0) return { sizeBytes, sha256: hash.digest('hex') };
    hash.update(buffer.subarray(0, bytesRead));
    sizeBytes += bytesRead;
    onProgress?.(sizeBytes);
  }
}
