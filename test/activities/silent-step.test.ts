import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { Client, Connection } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';

import { asStep } from '../../activities/step.ts';
import { testServers } from '../servers.ts';

/** More than so many kills end a step. */
const SILENT_ATTEMPTS = 6;

it('case 125: a step that Temporal heard nothing of, while its worker lived, was not killed and goes on as before', async () => {
  Runtime.install({
    logger: new DefaultLogger('ERROR'),
    // It warns of each attempt that comes too late.
    telemetryOptions: { logging: { filter: { core: 'ERROR', other: 'ERROR' } } },
  });
  const { address, namespace } = testServers().temporal;
  const connection = await NativeConnection.connect({ address });
  const client = new Client({ connection: await Connection.connect({ address }), namespace });
  const taskQueue = `silent-${randomUUID()}`;
  const worker = await Worker.create({
    connection,
    namespace,
    taskQueue,
    workflowsPath: fileURLToPath(new URL('silent.js', import.meta.url)),
    maxHeartbeatThrottleInterval: '100ms',
    activities: {
      fallSilent: (attempts: number) =>
        asStep(async ({ attempt, atOnce, signal }) => {
          while (attempt <= attempts && !signal.aborted) {
            await sleep(50);
            // The whole process does nothing, and its worker is not heard for longer than a step may be silent.
            Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_000);
          }
          return { attempt, atOnce: atOnce(8) };
        }),
    },
  });
  try {
    const end = await worker.runUntil(
      client.workflow.execute('silent', { taskQueue, workflowId: taskQueue, args: [SILENT_ATTEMPTS] }),
    );
    assert.deepEqual(end, { attempt: SILENT_ATTEMPTS + 1, atOnce: 8 });
  } finally {
    await connection.close();
    await client.connection.close();
  }
});
