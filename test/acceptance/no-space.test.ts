import assert from 'node:assert/strict';
import { readdir, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import type { Client } from '@temporalio/client';

import { openClient, withClient } from '../../postgres/connect.ts';
import { searchAttributes } from '../../workflows/search-attributes.ts';
import { SmallDisk } from '../small-disk.ts';
import { until } from '../until.ts';
import { Installation } from './installation.ts';

interface RunResult {
  state: string;
  backupId: string;
}

const KEEP_FREE_SHARE = 0.25;

describe('a spool without room', () => {
  let disk: SmallDisk;
  let installation: Installation;
  let client: Client;
  const runs = new Map<string, Promise<RunResult>>();
  let unlock: () => Promise<void>;

  before(async () => {
    disk = await SmallDisk.mount('16m');
    installation = await Installation.create([{ id: 'held' }, { id: 'big' }, { id: 'other' }], {}, (config) => {
      const hosts = config['hosts'] as Record<string, object>;
      hosts['h2'] = { ...hosts['h1'], spool: `${(hosts['h1'] as { spool: string }).spool}-2` };
      hosts['h1'] = { ...hosts['h1'], spool: join(disk.path, 'spool'), keepFree: `${KEEP_FREE_SHARE * 100}%` };
      const destinations = config['destinations'] as Record<string, Record<string, unknown>>;
      destinations['volume']!['hosts'] = ['h1', 'h2'];
      const environments = config['environments'] as Record<string, Record<string, unknown>>;
      for (const [id, host] of [
        ['held', 'h1'],
        ['big', 'h1'],
        ['other', 'h2'],
      ] as const)
        environments[id]!['hosts'] = [host];
    });
    const rows = (count: number) =>
      `CREATE TABLE public.notes AS SELECT g AS id, repeat(md5(g::text), 30) AS body FROM generate_series(1, ${count}) g`;
    await installation.createEnvironmentDatabase('held', rows(500));
    await installation.createEnvironmentDatabase('other', rows(500));
    await installation.createEnvironmentDatabase('big', rows(15_000));
    await installation.startWorker();
    await installation.startWorker({}, undefined, 'h2');
    client = await installation.client();
  });

  after(async () => {
    await client.connection.close();
    await installation.remove();
    await disk.unmount();
  });

  /** Until the newest run of an environment waits for something, and what its page says then. */
  async function pageOfWaiting(environment: string): Promise<string> {
    let page = '';
    await until(`the backup of ${environment} waits`, async () => {
      const query = `WorkflowType = 'backupDatabase' AND CofreEnvironment = '${environment}' AND CofreNeeds = 'resource'`;
      for await (const { workflowId } of client.workflow.list({ query })) {
        const handle = client.workflow.getHandle(workflowId);
        const { typedSearchAttributes } = await handle.describe();
        if (typedSearchAttributes.get(searchAttributes.phase) !== 'waiting') continue;
        ({ currentDetails: page } = await handle.query<{ currentDetails: string }>('__temporal_workflow_metadata'));
        return page.includes('Waits for');
      }
      return false;
    });
    return page;
  }

  async function filesIn(environment: string): Promise<string[]> {
    const names = await readdir(join(disk.path, 'spool', environment), { recursive: true }).catch(() => []);
    return names.filter((name) => /\/a\d+-/.test(name));
  }

  async function freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(disk.path);
    return bavail * bsize;
  }

  it('case 4: a dump is ended when it comes into what must stay free, is removed, and waits for as much as it needs', async () => {
    const locker = await openClient(installation.target('held'));
    unlock = async () => await locker.end();
    await locker.query('BEGIN; LOCK TABLE public.notes IN ACCESS EXCLUSIVE MODE');
    runs.set('held', installation.json<RunResult>(['backup', 'held']));
    await until('the dump is under way', async () => {
      const waiting = await withClient(installation.target('held'), (session) =>
        session.query(
          `SELECT FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LOCK TABLE public.notes IN ACCESS SHARE%'`,
        ),
      );
      return waiting.rows.length > 0;
    });
    assert.ok((await filesIn('held')).length > 0);
    const { blocks, bsize } = await statfs(disk.path);
    const keptBytes = blocks * bsize * KEEP_FREE_SHARE;
    const leftBytes = keptBytes - 1_000_000;
    await writeFile(join(disk.path, 'filler'), Buffer.alloc((await freeBytes()) - leftBytes));
    const page = await pageOfWaiting('held');
    assert.match(
      page,
      /Waits for .* room for the dump of held:\*\* the dump of held, of which \d+ MB were written, needs about [1-9]\d* MB in .*, and there are 0 MB above the 25% that stay free/,
    );
    assert.match(page, /Next step:\*\* make room in the file system of the spool/);
    assert.deepEqual(await filesIn('held'), []);
    assert.ok((await freeBytes()) >= leftBytes, 'nothing of what stays free was taken');
  });

  it('case 4: one that cannot fit does not begin, says how much room it needs, and harms nobody elsewhere', async () => {
    runs.set('big', installation.json<RunResult>(['backup', 'big']));
    assert.match(
      await pageOfWaiting('big'),
      /the dump of big needs about 1[5-9] MB in .*, and there are 0 MB above the 25%/,
    );
    assert.deepEqual(await filesIn('big'), []);
    const other = await installation.json<RunResult>(['backup', 'other']);
    assert.equal(other.state, 'complete', JSON.stringify(other));
  });

  it('case 4: with room both go on by themselves', async () => {
    disk.resize('96m');
    await rm(join(disk.path, 'filler'));
    await unlock();
    for (const [environment, run] of runs) {
      const result = await run;
      assert.equal(result.state, 'complete', `${environment}: ${JSON.stringify(result)}`);
      assert.deepEqual(await readdir(join(disk.path, 'spool', environment)), []);
    }
  });
});
