import { Readable } from 'node:stream';

import type { Body } from '../../destinations/destination.ts';
import { bytesBody } from '../../destinations/local-file.ts';

/** A body that stops in the middle, says so, and waits. */
export function gatedBody(bytes: Buffer): Body & { halfWay: Promise<void>; goOn: () => void } {
  let tell = (): void => undefined;
  let goOn = (): void => undefined;
  const halfWay = new Promise<void>((resolve) => (tell = resolve));
  const middle = Math.floor(bytes.length / 2);
  const open = (): Readable => {
    const parts = [bytes.subarray(0, middle), bytes.subarray(middle)];
    return new Readable({
      read() {
        if (parts.length !== 1) {
          this.push(parts.shift() ?? null);
          return;
        }
        tell();
        goOn = () => this.push(parts.shift() ?? null);
      },
    });
  };
  return { ...bytesBody(bytes), open, halfWay, goOn: () => goOn() };
}
