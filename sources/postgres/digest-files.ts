import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';

import { digestFile, type RawContent } from './raw-digest.ts';
import { settleAll } from './in-turns.ts';
import type { RawFile } from './raw-files.ts';

/** What a thread of `digest-thread.ts` is given: files, and the place in the list from which the next one is taken. */
export interface DigestOrder {
  readonly folder: string;
  readonly names: readonly string[];
  readonly next: Int32Array<SharedArrayBuffer>;
}

/** What it answers at its end. */
export type DigestAnswer = readonly (readonly [name: string, content: RawContent])[];

/** Less is read here and now, because threads take longer to start. */
const FOR_THREADS_BYTES = 4 * 1024 * 1024;
const FOR_THREADS_FILES = 500;

/** Reads each file once, several at a time in threads: hashing is all computing, and nothing else may wait for it. */
export async function digestFiles(
  folder: string,
  files: readonly RawFile[],
  { jobs, signal }: { readonly jobs: number; readonly signal?: AbortSignal | undefined },
): Promise<Map<string, RawContent>> {
  const { names, bytes } = await largestFirst(folder, files);
  signal?.throwIfAborted();
  if (bytes < FOR_THREADS_BYTES && names.length < FOR_THREADS_FILES) {
    return new Map(names.map((name) => [name, digestFile(join(folder, name))]));
  }
  const next = new Int32Array(new SharedArrayBuffer(4));
  const digests = new Map<string, RawContent>();
  const work = async (): Promise<void> => {
    try {
      for (const [name, content] of await inThread({ folder, names, next }, signal)) digests.set(name, content);
    } catch (error) {
      // The others end with the file that they are at.
      Atomics.store(next, 0, names.length);
      throw error;
    }
  };
  await settleAll(Array.from({ length: jobs }, work));
  return digests;
}

/** Large objects are many and small, so only the others are worth the question how large they are. */
async function largestFirst(folder: string, files: readonly RawFile[]): Promise<{ names: string[]; bytes: number }> {
  const sizes = new Map<string, number>();
  for (const { name, kind } of files) {
    if (kind !== 'largeObject') sizes.set(name, (await stat(join(folder, name))).size);
  }
  const names = files.map(({ name }) => name).sort((a, b) => (sizes.get(b) ?? 0) - (sizes.get(a) ?? 0));
  return { names, bytes: [...sizes.values()].reduce((sum, size) => sum + size, 0) };
}

function inThread(order: DigestOrder, signal: AbortSignal | undefined): Promise<DigestAnswer> {
  return new Promise((resolve, reject) => {
    const thread = new Worker(new URL('./digest-thread.js', import.meta.url), { workerData: order });
    // Not waited for: a thread that reads from a disk which hangs does not end.
    const onAbort = (): void => {
      reject(signal?.reason as Error);
      void thread.terminate();
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    thread.once('message', resolve);
    thread.once('error', reject);
    thread.once('exit', () => {
      signal?.removeEventListener('abort', onAbort);
      reject(new Error('a thread ended without an answer')); // Nothing, if it has answered.
    });
  });
}
