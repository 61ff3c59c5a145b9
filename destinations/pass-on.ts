import { Readable } from 'node:stream';

import { CofreError } from '../errors/error.ts';
import { endOnAbort } from './end-on-abort.ts';

/** Sees every byte that passes, and says at the end what is wrong with them. */
export interface Inspection {
  update(chunk: Buffer): void;
  problem(): Error | undefined;
}

/**
 * A stream from a network as a destination gives it: its errors are those of `toError`, one that ends before `length`
 * bytes is an error too, and an abort ends it with the signal's reason.
 */
export function passOn(
  source: Readable,
  length: number | undefined,
  toError: (cause: unknown) => Error,
  signal: AbortSignal | undefined,
  inspection?: Inspection,
): Readable {
  let passedBytes = 0;
  const stream = new Readable({
    highWaterMark: 1024 * 1024,
    read() {
      source.resume();
    },
    destroy(error, done) {
      source.destroy();
      done(error);
    },
  });
  source.on('data', (chunk: Buffer) => {
    passedBytes += chunk.length;
    inspection?.update(chunk);
    if (!stream.push(chunk)) source.pause();
  });
  source.on('end', () => {
    const isWhole = length === undefined || passedBytes === length;
    const problem = isWhole ? inspection?.problem() : undefined;
    if (problem !== undefined) stream.destroy(problem);
    else if (isWhole) stream.push(null);
    else
      stream.destroy(
        toError(new CofreError('destination-unavailable', `it ended after ${passedBytes} of ${length} bytes`)),
      );
  });
  source.on('error', (cause: unknown) => stream.destroy(toError(cause)));
  source.on('close', () => {
    // A connection that is cut may close without a word.
    if (!source.readableEnded) stream.destroy(toError(new Error(`the connection closed after ${passedBytes} bytes`)));
  });
  source.pause();
  return endOnAbort(stream, signal);
}
