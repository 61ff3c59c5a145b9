import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Client, Connection } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';

import { asStep } from '../../activities/step.ts';
import { hashFile } from '../../destinations/local-file.ts';
import { isLong } from '../long.ts';
import { testServers } from '../servers.ts';

/** As many heavy steps of one host. */
const AT_ONCE = 3;
/** Together they take some times as long as a step may be silent here, on any machine. */
const SIZE_BYTES = (isLong ? 99 : 6) * 1024 ** 3;

describe('a step that hashes', () => {
  let folder: string;
  let path: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'cofre-heartbeats-'));
    path = join(folder, 'archive');
    // All of it is one hole, which takes no room.
    await writeFile(path, '');
    await truncate(path, SIZE_BYTES / AT_ONCE);
  });

  after(() => rm(folder, { recursive: true, force: true }));

  it('case 123: heartbeats flow while gigabytes are hashed', async () => {
    Runtime.install({ logger: new DefaultLogger('ERROR') });
    const { address, namespace } = testServers().temporal;
    const connection = await NativeConnection.connect({ address });
    const client = new Client({ connection: await Connection.connect({ address }), namespace });
    const taskQueue = `heartbeats-${randomUUID()}`;
    const worker = await Worker.create({
      connection,
      namespace,
      taskQueue,
      workflowsPath: fileURLToPath(new URL('hashing.js', import.meta.url)),
      // Each beat is sent at once, so that three seconds of silence are the thread's own.
      maxHeartbeatThrottleInterval: '100ms',
      activities: {
        hash: (file: string) =>
          asStep(async ({ signal, report }) => {
            const onProgress = (bytes: number): void => report({ doing: 'hash', bytes });
            return (await hashFile(file, { signal, onProgress })).sizeBytes;
          }),
      },
    });
    try {
      const hashed = await worker.runUntil(
        Promise.all(
          Array.from({ length: AT_ONCE }, (_, index) =>
            client.workflow.execute('hashing', { taskQueue, workflowId: `${taskQueue}/${index}`, args: [path] }),
          ),
        ),
      );
      assert.deepEqual(hashed, Array(AT_ONCE).fill(SIZE_BYTES / AT_ONCE));
    } finally {
      await connection.close();
      await client.connection.close();
    }
  });
});
