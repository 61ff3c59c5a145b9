import { open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

const READ_BYTES = 1024 * 1024;
const LOOK_EVERY_MS = 50;

/** The bytes of a file that is still being written, as they come; it ends when `whole` is aborted and all is read. */
export async function* followFile(path: string, whole: AbortSignal, signal: AbortSignal): AsyncGenerator<Buffer> {
  const file = await open(path, 'r');
  try {
    for (;;) {
      signal.throwIfAborted();
      // Asked before it is read: what is written in between would be lost.
      const isWhole = whole.aborted;
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(READ_BYTES), 0, READ_BYTES, null);
      if (bytesRead > 0) yield buffer.subarray(0, bytesRead);
      else if (isWhole) return;
      else await sleep(LOOK_EVERY_MS, undefined, { signal });
    }
  } finally {
    await file.close();
  }
}
