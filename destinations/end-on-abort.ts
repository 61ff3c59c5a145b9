import type { Readable } from 'node:stream';

/**
 * A stream as a destination gives it: an abort ends it with the signal's reason, also while its reader waits for nothing; and a
 * failure that comes before anybody reads is kept for who will. Nobody hears it then, and what nobody hears ends the process, with
 * every other step in it.
 */
export function endOnAbort(stream: Readable, signal: AbortSignal | undefined): Readable {
  stream.on('error', () => undefined);
  if (signal === undefined) return stream;
  const onAbort = (): void => void stream.destroy(signal.reason as Error);
  signal.addEventListener('abort', onAbort, { once: true });
  stream.once('close', () => signal.removeEventListener('abort', onAbort));
  if (signal.aborted) onAbort();
  return stream;
}
