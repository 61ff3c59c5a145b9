import { Readable } from 'node:stream';

import type { Body } from '../destination.ts';
import { bytesBody } from '../local-file.ts';

/** A body that stands still in its middle, so that others can look at the place meanwhile. */
export interface HalfWayBody extends Body {
  /** When the put has read the first half. */
  readonly halfWay: Promise<void>;
  /** Lets it go on, or fail with this error. */
  readonly end: (error?: Error) => void;
}

export function halfWayBody(bytes: Buffer): HalfWayBody {
  let reached = (): void => undefined;
  let end = (_error?: Error): void => undefined;
  const halfWay = new Promise<void>((resolve) => (reached = resolve));
  const gate = new Promise<Error | undefined>((resolve) => (end = resolve));
  const middle = Math.ceil(bytes.length / 2);
  async function* read(offset: number): AsyncGenerator<Buffer> {
    if (offset < middle) yield bytes.subarray(offset, middle);
    reached();
    const error = await gate;
    if (error !== undefined) throw error;
    yield bytes.subarray(Math.max(offset, middle));
  }
  return {
    ...bytesBody(bytes),
    open: (offset = 0) => Readable.from(read(offset), { objectMode: false }),
    halfWay,
    end,
  };
}
