import type { FileHandle } from 'node:fs/promises';
import { Readable } from 'node:stream';

import { endOnAbort } from '../end-on-abort.ts';

const READ_BYTES = 1024 * 1024;

/**
 * The bytes of an open file from `start` as a stream that closes the file at its end. Unlike Node's own stream it gives
 * the driver's errors (`toError`) and ends with the signal's own reason.
 */
export function readOpenFile(
  file: FileHandle,
  part: { readonly start: number; readonly length: number },
  toError: (cause: unknown) => Error,
  signal: AbortSignal | undefined,
): Readable {
  let position = part.start;
  const end = part.start + part.length;
  const readSome = async (): Promise<Buffer | null> => {
    const wanted = Math.min(READ_BYTES, end - position);
    if (wanted === 0) return null;
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(wanted), 0, wanted, position);
    position += bytesRead;
    return bytesRead === 0 ? null : buffer.subarray(0, bytesRead);
  };
  const stream = new Readable({
    highWaterMark: READ_BYTES,
    read() {
      readSome().then(
        (chunk) => this.push(chunk),
        (cause: unknown) => this.destroy(toError(cause)),
      );
    },
    destroy(error, done) {
      file.close().then(
        () => done(error),
        () => done(error),
      );
    },
  });
  return endOnAbort(stream, signal);
}
