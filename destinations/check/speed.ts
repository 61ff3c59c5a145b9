import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';

import type { Body } from '../destination.ts';
import type { CheckedPlace } from './promises.ts';

/** How fast a place is from this machine, for one object at a time. */
export interface Speed {
  readonly storesBytesPerSecond: number;
  readonly readsBytesPerSecond: number;
  /** The median of looking at one object. */
  readonly requestMs: number;
}

const MIB = 1024 * 1024;
/** So large that what a request costs by itself does not count; so small that a slow line has done it in a minute. */
const SIZE_BYTES = 64 * MIB;
const REQUESTS = 9;

export async function measureSpeed({ one, keyOf, signal }: CheckedPlace): Promise<Speed> {
  const key = keyOf('speed');
  const body = repeatedBody(SIZE_BYTES);
  const storesBytesPerSecond = await bytesPerSecond(() => one.put(key, body, { signal }));
  const readsBytesPerSecond = await bytesPerSecond(async () => {
    for await (const chunk of await one.get(key, { signal })) void chunk;
  });
  const times: number[] = [];
  for (let request = 0; request < REQUESTS; request += 1) times.push(await elapsedMs(() => one.stat(key, { signal })));
  times.sort((first, second) => first - second);
  return { storesBytesPerSecond, readsBytesPerSecond, requestMs: times[Math.floor(REQUESTS / 2)] ?? 0 };
}

/** Random bytes, that no line makes smaller, and few of them in memory. */
function repeatedBody(sizeBytes: number): Body {
  const block = randomBytes(MIB);
  const hash = createHash('sha256');
  for (let done = 0; done < sizeBytes; done += MIB) hash.update(block);
  function* read(offset: number): Generator<Buffer> {
    for (let at = offset; at < sizeBytes; at += MIB - (at % MIB)) yield block.subarray(at % MIB);
  }
  return {
    sizeBytes,
    sha256: hash.digest('hex'),
    open: (offset = 0) => Readable.from(read(offset), { objectMode: false }),
  };
}

async function bytesPerSecond(move: () => Promise<unknown>): Promise<number> {
  return Math.round(SIZE_BYTES / ((await elapsedMs(move)) / 1000));
}

async function elapsedMs(call: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await call();
  return performance.now() - startedAt;
}
