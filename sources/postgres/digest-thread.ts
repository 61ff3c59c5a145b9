import { join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';

import type { DigestAnswer, DigestOrder } from './digest-files.ts';
import { digestFile } from './raw-digest.ts';

// The program of a thread of `digestFiles`: takes files in turn with the others, and answers once.
const { folder, names, next } = workerData as DigestOrder;
const answer: DigestAnswer[number][] = [];
for (let index = Atomics.add(next, 0, 1); index < names.length; index = Atomics.add(next, 0, 1)) {
  const name = names[index] ?? '';
  answer.push([name, digestFile(join(folder, name))]);
}
parentPort?.postMessage(answer);
