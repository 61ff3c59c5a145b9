import assert from 'node:assert/strict';
import { watch } from 'node:fs';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { FaultProxy } from '../fault-proxy.ts';
import { testServers } from '../servers.ts';
import { until } from '../until.ts';
import { holdTable } from './hold-table.ts';
import { Installation } from './installation.ts';
import { dumpsOf } from './running-tools.ts';

interface Backup {
  id: string;
  environment: string;
  state: string;
  copies: { state: string; sha256: string; sizeBytes: number }[];
}

describe('a backup whose bookkeeping is disturbed', () => {
  let installation: Installation;
  /** Between everything of Cofre and its catalog. */
  let catalog: FaultProxy;

  before(async () => {
    catalog = await FaultProxy.start(testServers().postgres);
    installation = await Installation.create([{ id: 'one' }, { id: 'two' }], {}, (config) =>
      Object.assign(config['catalog'] as object, { port: catalog.port }),
    );
    for (const id of ['one', 'two'])
      await installation.createEnvironmentDatabase(id, 'CREATE TABLE public.t AS SELECT generate_series(1, 100) AS id');
  });

  after(async () => {
    await installation.remove();
    await catalog.stop();
  });

  async function backupsOf(environment: string): Promise<Backup[]> {
    return (await installation.json<Backup[]>(['backups'])).filter((backup) => backup.environment === environment);
  }

  it('case 65: the catalog is down from the dump on: the backup completes when it is back, in one row', async () => {
    const worker = await installation.startWorker();
    const release = await holdTable(installation.target('one'), 'public.t');
    const backup = installation.json<{ state: string; backupId: string }>(['backup', 'one']);
    await until('the dump is under way', () => dumpsOf(installation, 'one').length > 0);
    catalog.refuse();
    await release();
    // The dump is finished, and what it holds cannot be recorded: it is tried again, and says why.
    const client = await installation.client();
    await until('the step says that the catalog is down', async () => {
      for await (const { workflowId } of client.workflow.list({ query: `WorkflowType = 'backupDatabase'` })) {
        const { raw } = await client.workflow.getHandle(workflowId).describe();
        if (
          raw.pendingActivities?.some(
            (step) => step.lastFailure?.applicationFailureInfo?.type === 'catalog-unavailable',
          )
        )
          return true;
      }
      return false;
    });
    await client.connection.close();
    catalog.restore();
    const { state, backupId } = await backup;
    assert.equal(state, 'complete');
    const rows = await backupsOf('one');
    assert.deepEqual(
      rows.map(({ id, state: stands, copies }) => [id, stands, copies.map((copy) => copy.state)]),
      [[backupId, 'complete', ['verified']]],
    );
    assert.equal(
      (await readdir(join(installation.backups, 'one', backupId))).length,
      2,
      'one attempt and the manifest',
    );
    assert.equal(worker.exitCode, null, 'the worker has lived through it');
    await installation.endWorker(worker, 'SIGTERM');
  });

  it('case 68: a step that runs again because its answer was lost leaves one row with the same content', async () => {
    const first = await installation.startWorker();
    await mkdir(join(installation.backups, 'two'), { recursive: true });
    // The manifest is there: verified and published. What comes after it, the rows and the answer, gets lost.
    const published = watch(join(installation.backups, 'two'), { recursive: true }, (_, name) => {
      if (name?.endsWith('/manifest.json') === true) first.kill('SIGKILL');
    });
    const backup = installation.json<{ state: string; backupId: string; workflowId: string }>(['backup', 'two']);
    await until('the worker was killed', () => first.signalCode === 'SIGKILL');
    published.close();
    const second = await installation.startWorker();
    const { state, backupId, workflowId } = await backup;
    assert.equal(state, 'complete');
    assert.ok((await attemptsOf('verify', workflowId)) >= 2, 'the step ran twice');
    const [row, ...more] = await backupsOf('two');
    assert.deepEqual(more, []);
    const folder = join(installation.backups, 'two', backupId);
    const manifest = JSON.parse(await readFile(join(folder, 'manifest.json'), 'utf8')) as {
      objects: { sha256: string; sizeBytes: number }[];
    };
    assert.deepEqual(
      row?.copies.map(({ state: stands, sha256, sizeBytes }) => ({ stands, sha256, sizeBytes })),
      manifest.objects.map(({ sha256, sizeBytes }) => ({ stands: 'verified', sha256, sizeBytes })),
    );
    assert.equal((await readdir(folder)).length, 2, 'one attempt and the manifest');
    await installation.endWorker(second, 'SIGTERM');
  });

  async function attemptsOf(step: string, workflowId: string): Promise<number> {
    const client = await installation.client();
    try {
      const { events } = await client.workflow.getHandle(workflowId).fetchHistory();
      const scheduled = events?.find(
        (event) => event.activityTaskScheduledEventAttributes?.activityType?.name === step,
      );
      const started = events?.find(
        ({ activityTaskStartedEventAttributes: of }) => String(of?.scheduledEventId) === String(scheduled?.eventId),
      );
      return started?.activityTaskStartedEventAttributes?.attempt ?? 0;
    } finally {
      await client.connection.close();
    }
  }
});
