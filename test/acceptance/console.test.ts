import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import type { Client, WorkflowHandle } from '@temporalio/client';
import { TypedSearchAttributes } from '@temporalio/common';

import { CONTROL_QUEUE } from '../../workflows/queues.ts';
import { searchAttributes } from '../../workflows/search-attributes.ts';
import { Installation } from './installation.ts';

describe('the Temporal UI as the console', () => {
  let installation: Installation;
  let client: Client;

  before(async () => {
    installation = await Installation.create([{ id: 'acme' }]);
    await installation.createEnvironmentDatabase(
      'acme',
      'CREATE TABLE public.t AS SELECT generate_series(1, 100) AS id',
    );
    await installation.startWorker();
    client = await installation.client();
  });

  after(async () => {
    await client.connection.close();
    await installation.remove();
  });

  /** As the UI's form does it: an id of any form, and the search attributes of an earlier run of that type. */
  async function startByForm(workflow: string, id: string, input: unknown): Promise<WorkflowHandle> {
    const handle = await client.workflow.start(workflow, {
      taskQueue: CONTROL_QUEUE,
      workflowId: id,
      args: [input],
      typedSearchAttributes: new TypedSearchAttributes([
        { key: searchAttributes.environment, value: 'another' },
        { key: searchAttributes.backupId, value: '20201120T210000Z-00000000' },
        { key: searchAttributes.host, value: 'another' },
        { key: searchAttributes.phase, value: 'done' },
        { key: searchAttributes.bytes, value: 1 },
      ]),
    });
    await handle.result().catch(() => undefined);
    return handle;
  }

  async function pageOf(handle: WorkflowHandle): Promise<string> {
    const { currentDetails } = await handle.query<{ currentDetails: string }>('__temporal_workflow_metadata');
    return currentDetails;
  }

  async function attributesOf(handle: WorkflowHandle): Promise<Record<string, unknown>> {
    const { typedSearchAttributes: found } = await handle.describe();
    return Object.fromEntries(Object.entries(searchAttributes).map(([name, key]) => [name, found.get(key)]));
  }

  it('tells on the page of a backup what came of it, and finds it by what it did itself', async () => {
    const handle = await startByForm('backupDatabase', 'by hand', { environment: 'acme' });
    const page = await pageOf(handle);
    assert.match(page, /Backup of acme[\s\S]*Done[\s\S]*Next step:[\s\S]*100 rows[\s\S]*copy in volume \| verified/);
    const { environment, host, phase, needs, backupId } = await attributesOf(handle);
    assert.deepEqual(
      { environment, host, phase, needs },
      { environment: 'acme', host: 'h1', phase: 'done', needs: 'nothing' },
    );
    assert.ok(page.includes(String(backupId)));
  });

  for (const [what, workflow, input, reason] of [
    ['an unknown environment', 'backupDatabase', { environment: 'acne' }, /not-known.*acne/],
    ['a misspelt field', 'backupDatabase', { enviroment: 'acme' }, /bad-input.*"environment\\" is missing/],
    ['a restore of nothing', 'restoreDatabase', { to: 'acme' }, /bad-input.*either/],
    ['an unknown routine', 'runRoutine', { routine: 'nihgtly' }, /not-known.*nihgtly/],
  ] as const) {
    it(`says on its page why a run with ${what} failed, and shows it as one that needs somebody`, async () => {
      const handle = await startByForm(workflow, what, input);
      assert.match(await pageOf(handle), reason);
      const { phase, needs, backupId, host, bytes } = await attributesOf(handle);
      assert.deepEqual(
        { phase, needs, host, bytes },
        { phase: 'failed', needs: 'operator', host: undefined, bytes: undefined },
      );
      assert.notEqual(backupId, '20201120T210000Z-00000000');
      await assert.rejects(
        handle.result(),
        ({ cause }: { cause?: Error }) => cause?.message !== 'Activity task failed',
      );
    });
  }
});
