import { setTimeout as sleep } from 'node:timers/promises';

import type { NativeConnection, Worker } from '@temporalio/worker';

import type { Catalog } from '../catalog/open.ts';
import { CofreError } from '../errors/error.ts';
import { endRecordedGroups } from '../processes/group-records.ts';

export interface RunningWorker {
  /** Settles when the worker has stopped; rejects if it failed. Another one may be started then, in this process too. */
  readonly stopped: Promise<void>;
  /** Stops taking work, ends what runs here (it goes on after the next start) and closes everything. */
  stop(): void;
}

const LOOK_EVERY_MS = 1_000;

/** Runs the workers of one host as one: one that fails takes the others with it, half a worker would look alive and do nothing. */
export function runTogether(parts: {
  readonly workers: readonly Worker[];
  readonly temporal: NativeConnection;
  readonly catalog: Catalog;
  /** Of the tools that they run. */
  readonly records: string | undefined;
}): RunningWorker {
  const { workers, temporal, catalog, records } = parts;
  const stop = (): void => {
    for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
  };
  const runs = workers.map((worker) => runOrFail(worker).finally(stop));
  const stopped = Promise.allSettled(runs).then(async (ends) => {
    const failed = ends.find((end) => end.status === 'rejected');
    // What a failed worker was doing hears of no cancellation any more. Without its tools and the catalog it can end nothing well.
    if (failed !== undefined && records !== undefined) endRecordedGroups(records);
    await catalog.close();
    // A failed worker may hold its connection for ever.
    await temporal.close().catch((error: unknown) => {
      if (failed === undefined) throw error;
    });
    if (failed !== undefined) throw failed.reason;
  });
  return { stopped, stop };
}

/** A worker whose namespace is gone, for instance, is failed, and `run` does not always come back to say so. */
async function runOrFail(worker: Worker): Promise<void> {
  const ended = new AbortController();
  const failed = async (): Promise<never> => {
    while (worker.getState() !== 'FAILED') await sleep(LOOK_EVERY_MS, undefined, { signal: ended.signal });
    throw new CofreError(
      'temporal-unavailable',
      `Temporal does not serve the queue ${worker.options.taskQueue} any more; the log says why`,
      { hint: 'look whether the namespace is there' },
    );
  };
  try {
    await Promise.race([worker.run(), failed()]);
  } finally {
    ended.abort();
  }
}
