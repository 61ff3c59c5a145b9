import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { newBackupId } from '../../catalog/backup-id.ts';
import type { BackupDetail, BackupSummary } from '../../catalog/backup-list.ts';
import type { Status } from '../../cli/status.ts';
import { withClient } from '../../postgres/connect.ts';
import { searchAttributes } from '../../workflows/search-attributes.ts';
import { Installation } from './installation.ts';

interface RunResult {
  state: string;
  backupId: string;
  workflowId: string;
  anomalous?: true;
  error?: { code: string; hint?: string };
}

describe('a database that was emptied by mistake', () => {
  let installation: Installation;
  let full: RunResult;
  let emptied: RunResult;
  /** The folder of a backup that failed with its archive, between the two. */
  let onlyCopy: string;

  before(async () => {
    const nightly = { at: '04:00', days: ['sun'], run: 'backupDatabase' };
    installation = await Installation.create([{ id: 'acme' }], { nightly });
    await installation.createEnvironmentDatabase(
      'acme',
      'CREATE TABLE public.notes AS SELECT g AS id, md5(g::text) AS body FROM generate_series(1, 5000) g',
    );
    await installation.startWorker();
    full = await installation.json(['backup', 'acme']);
    onlyCopy = await leaveArchive();
    await withClient(installation.target('acme'), (client) => client.query('DELETE FROM public.notes WHERE id > 50'));
    emptied = await installation.json(['backup', 'acme']);
  });

  after(async () => await installation.remove());

  async function leaveArchive(): Promise<string> {
    const id = newBackupId(new Date(), '00000001');
    await withClient(installation.catalog, (catalog) =>
      catalog.query(
        `INSERT INTO cofre.backups (id, environment, kind, mode, pipeline, workflow_id, run_id, config_version, started_at, finished_at, state, error_code, error_message)
         SELECT $1, environment, kind, mode, pipeline, workflow_id, run_id, config_version, now(), now(), 'failed', 'no-space', 'full'
         FROM cofre.backups WHERE id = $2`,
        [id, full.backupId],
      ),
    );
    const folder = join(installation.spool, 'acme', id);
    await mkdir(join(folder, 'a1-00000000'), { recursive: true });
    await writeFile(join(folder, 'a1-00000000', 'manifest.json'), '{}');
    return folder;
  }

  async function countRows(): Promise<number> {
    const { rows } = await withClient(installation.target('acme'), (client) =>
      client.query<{ n: number }>('SELECT count(*)::int AS n FROM public.notes'),
    );
    return rows[0]?.n ?? -1;
  }

  it('case 15: is backed up all the same, and marked wherever somebody looks', async () => {
    assert.deepEqual([full.state, full.anomalous], ['complete', undefined]);
    assert.deepEqual([emptied.state, emptied.anomalous], ['complete', true]);
    assert.ok(existsSync(onlyCopy), 'it may have what the anomalous one has lost');
    const client = await installation.client();
    const handle = client.workflow.getHandle(emptied.workflowId);
    const { typedSearchAttributes: attributes } = await handle.describe();
    assert.deepEqual(
      [attributes.get(searchAttributes.phase), attributes.get(searchAttributes.needs)],
      ['done', 'operator'],
    );
    const { currentDetails } = await handle.query<{ currentDetails: string }>('__temporal_workflow_metadata');
    await client.connection.close();
    assert.match(currentDetails, /marked as anomalous:\*\* it has 50 rows .*the backup before, .* has 5000 rows/);
    assert.match(currentDetails, new RegExp(`Next step:.*cofre accept ${emptied.backupId}`));

    const [newest] = await installation.json<BackupSummary[]>(['backups', 'acme']);
    assert.deepEqual([newest?.id, newest?.anomalous], [emptied.backupId, true]);
    assert.match((await installation.cofre(['backups', 'acme'])).stdout, /complete, anomalous/);
    const status = await installation.json<Status>(['status', 'acme']);
    assert.deepEqual(
      [status.environments[0]?.verified?.id, status.environments[0]?.verified?.anomalous],
      [emptied.backupId, true],
    );
    assert.match((await installation.cofre(['status'])).stdout, new RegExp(`${emptied.backupId} is anomalous`));
    assert.match((await installation.cofre(['show', emptied.backupId])).stdout, /warning +anomalous: it has 50 rows/);
  });

  it('case 15: does not turn the night red, but is told on its page', async () => {
    const night = await installation.json<RunResult>(['run', 'nightly']);
    assert.equal(night.error, undefined);
    const client = await installation.client();
    const handle = client.workflow.getHandle(night.workflowId);
    const { currentDetails } = await handle.query<{ currentDetails: string }>('__temporal_workflow_metadata');
    await client.connection.close();
    assert.match(currentDetails, /1 of 1 complete.* 1 in trouble[\s\S]*acme[\s\S]*anomalous: it has 50 rows/);
    [emptied] = (await installation.json<BackupSummary[]>(['backups', 'acme'])).map(({ id }) => ({
      ...emptied,
      backupId: id,
    })) as [RunResult];
  });

  it('case 15: is not restored unattended; a person who asks for the latest gets what was there before', async () => {
    await installation.dropDatabase('acme');
    const refused = await installation.cofre(['ensure', 'acme']);
    assert.equal(refused.code, 3, refused.stderr);
    assert.match(
      refused.stderr,
      new RegExp(`${emptied.backupId}, is marked as anomalous[\\s\\S]*cofre accept ${emptied.backupId}`),
    );
    assert.equal(await installation.databaseExists('acme'), false);

    const restore = await installation.cofre(['restore', '--from', 'acme', '--latest', '--to', 'acme', '--yes']);
    assert.equal(restore.code, 0, restore.stderr);
    assert.match(restore.stderr, new RegExp(`passed over +${emptied.backupId}: anomalous`));
    assert.equal(await countRows(), 5_000);
  });

  it('case 15: is restored by its name, and like any other once somebody accepted it', async () => {
    const named = ['restore', '--backup', emptied.backupId, '--to', 'acme', '--yes'];
    const byName = await installation.cofre(named);
    assert.equal(byName.code, 0, byName.stderr);
    assert.match(byName.stderr, /anomalous +much less is in it/);
    assert.equal(await countRows(), 50);

    assert.equal((await installation.cofre(['accept', emptied.backupId])).code, 2, 'nobody is there to say yes');
    const accepted = await installation.json<{ changed: boolean }>(['accept', emptied.backupId, '--yes']);
    assert.equal(accepted.changed, true);
    assert.match((await installation.cofre(['accept', emptied.backupId, '--yes'])).stderr, /not marked/);
    const detail = await installation.json<BackupDetail>(['show', emptied.backupId]);
    assert.equal(detail.anomalous, undefined);
    assert.match(detail.accepted?.by ?? '', /@/);
    const next = await installation.json<RunResult>(['backup', 'acme']);
    assert.deepEqual([next.state, next.anomalous], ['complete', undefined]);
    assert.equal(existsSync(onlyCopy), false);
  });
});
