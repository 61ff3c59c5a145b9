import { CofreError } from '../../errors/error.ts';
import type { RcloneRemote } from './remote.ts';

/** The bytes of an object from `start` on, `length` of them: all of them, or it fails. */
export async function* readObject(
  remote: RcloneRemote,
  key: string,
  { start, length }: { start: number; length: number },
  signal: AbortSignal | undefined,
): AsyncGenerator<Buffer> {
  if (length === 0) return;
  const range = ['--offset', String(start), '--count', String(length)];
  const running = await remote.start(['cat', ...range, remote.nameOf(key)], { stdout: 'pipe' }, signal);
  let readBytes = 0;
  try {
    for await (const chunk of running.stdout as AsyncIterable<Buffer>) {
      const wanted = chunk.subarray(0, length - readBytes);
      readBytes += wanted.length;
      if (wanted.length > 0) yield wanted;
      // Of several files of one name, which are the same (`requireOne`), rclone gives one after the other.
      if (wanted.length < chunk.length) return;
    }
    await running.done;
  } catch (cause) {
    signal?.throwIfAborted();
    throw await remote.failure(cause, `to give all of ${key}`);
  } finally {
    running.kill();
  }
  if (readBytes === length) return;
  const what = `${remote.url} gave ${readBytes} of ${length} bytes of ${key}`;
  throw new CofreError('destination-unavailable', what, { hint: 'look at the service and at the network between' });
}
