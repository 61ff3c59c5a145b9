import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { Client, Connection } from '@temporalio/client';

import { startTemporal } from '../../tools/dev-temporal.ts';
import { freePort } from '../../tools/free-port.ts';
import { searchAttributes } from '../../workflows/search-attributes.ts';

test('a run that was started before the server ended is there when it starts again, and so is the UI', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'cofre-temporal-'));
  const options = {
    folder,
    port: await freePort(),
    uiPort: await freePort(),
    searchAttributes: Object.values(searchAttributes),
  };
  try {
    await withServer(options, async (client) => {
      await client.workflow.start('anything', { workflowId: 'kept', taskQueue: 'nobody-polls' });
      await client.workflow.getHandle('kept').describe();
    });
    await withServer(options, async (client) => {
      const { status } = await client.workflow.getHandle('kept').describe();
      assert.equal(status.name, 'RUNNING');
      const page = await fetch(`http://127.0.0.1:${options.uiPort}/`);
      assert.equal(page.status, 200);
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

async function withServer(
  options: Parameters<typeof startTemporal>[0],
  use: (client: Client) => Promise<void>,
): Promise<void> {
  const server = await startTemporal(options);
  const connection = await Connection.connect({ address: `127.0.0.1:${server.port}` });
  try {
    await use(new Client({ connection }));
  } finally {
    await connection.close();
    await server.stop();
  }
}
