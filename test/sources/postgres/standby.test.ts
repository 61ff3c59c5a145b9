import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { withClient } from '../../../postgres/connect.ts';
import { checkSource } from '../../../sources/postgres/check-source.ts';
import { ReplicatedServer } from '../../standby.ts';
import { until } from '../../until.ts';
import { dump, makeFolder } from './nasty-database.ts';

const PIPELINES = ['staged', 'streamed'] as const;
/** What is in the log of the primary is written and sent with a commit; one that wrote nothing itself does not wait for that. */
const COMMIT = "select pg_logical_emit_message(true, 'cofre', 'sent')";
const WAITS_FOR_LOCK = "exists (select from pg_stat_activity where wait_event_type = 'Lock')";

describe('a standby as the source', () => {
  let servers: ReplicatedServer;

  before(async () => {
    servers = await ReplicatedServer.start({ max_standby_streaming_delay: '100ms' });
    await onPrimary(`create table notes (id int, body text); insert into notes select g, repeat(md5(g::text), 30) from generate_series(1, 20000) g;
      create unlogged table quick (a int); insert into quick values (1); select lo_from_bytea(0, 'kept')`);
    await caughtUp();
  });
  after(async () => await servers.stop());

  async function onPrimary(sql: string): Promise<void> {
    await withClient(servers.primary, (client) => client.query(`set search_path = public; ${sql}`));
  }

  async function onStandby<T>(sql: string): Promise<T | undefined> {
    const { rows } = await withClient(servers.standby, (client) => client.query<{ it: T }>(`select ${sql} as it`));
    return rows[0]?.it;
  }

  async function caughtUp(): Promise<void> {
    await onPrimary(COMMIT);
    const { rows } = await withClient(servers.primary, (client) =>
      client.query<{ lsn: string }>('select pg_current_wal_lsn() as lsn'),
    );
    await until(
      'the standby has replayed it',
      async () => (await onStandby(`pg_last_wal_replay_lsn() >= '${rows[0]?.lsn}'`)) === true,
    );
  }

  it('case 14: is dumped in one snapshot by several processes, and the report says that it is one', async (t) => {
    for (const pipeline of PIPELINES) {
      const { content, server, warnings } = await dump(await makeFolder(t), { target: servers.standby, pipeline });
      assert.deepEqual(
        content.tables.map(({ name, rows }) => [name, rows]),
        [['notes', 20_000]],
      );
      assert.equal(content.largeObjects.count, 1);
      assert.deepEqual({ inRecovery: server.inRecovery, lagMs: server.lagMs }, { inRecovery: true, lagMs: 0 });
      assert.match(warnings.join('\n'), /a standby, 0\.0 s behind its primary: .*unlogged tables/);
    }
  });

  it('case 14: how far it is behind is in the manifest, in a warning and in the time of the data', async (t) => {
    await withClient(servers.standby, (client) => client.query('select pg_wal_replay_pause()'));
    try {
      await onPrimary("insert into notes values (0, 'too late')");
      await until(
        'it has received the row',
        async () => (await onStandby('pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()')) === true,
      );
      await sleep(1_100);
      const dumpedAt = Date.now();
      const { content, server, warnings, snapshotAt } = await dump(await makeFolder(t), {
        target: servers.standby,
        pipeline: 'staged',
      });
      assert.equal(content.rows, 20_000, 'the row is not in it');
      assert.ok((server.lagMs ?? 0) >= 1_000, `${server.lagMs} ms`);
      assert.ok(Date.parse(snapshotAt) <= dumpedAt - 1_000, snapshotAt);
      assert.match(warnings.join('\n'), /a standby, [1-9][0-9.]* s behind its primary/);
      assert.match((await checkSource(servers.standby)).warnings.join('\n'), /s behind its primary/);

      const tooFar = {
        code: 'standby-behind',
        message: /is a standby, \d+ s behind its primary/,
        hint: /primary/,
        retryable: false,
      };
      await assert.rejects(checkSource(servers.standby, { maxLagMs: 1_000 }), tooFar);
      const directory = await makeFolder(t);
      await assert.rejects(dump(directory, { target: servers.standby, pipeline: 'staged', maxLagMs: 1_000 }), tooFar);
    } finally {
      await withClient(servers.standby, (client) => client.query('select pg_wal_replay_resume()'));
    }
    await caughtUp();
    assert.equal(
      (await dump(await makeFolder(t), { target: servers.standby, pipeline: 'staged' })).content.rows,
      20_001,
    );
  });

  for (const pipeline of PIPELINES) {
    it(`case 14: a ${pipeline} dump that it cancels, because it holds up the replay, is one to try again`, async (t) => {
      const { standby } = servers;
      await withClient(servers.primary, async (client) => {
        // A lock of the primary holds on the standby, too: the dump waits there, and has the lock of the other table already.
        await client.query('begin; lock table public.quick in access exclusive mode');
        await caughtUp();
        const dumping = dump(await makeFolder(t), { target: standby, pipeline });
        dumping.catch(() => undefined);
        await until('the dump waits', async () => (await onStandby(WAITS_FOR_LOCK)) === true);
        await client.query('drop table public.notes');
        await onPrimary(COMMIT);
        await assert.rejects(dumping, {
          ...{
            code: 'server-unavailable',
            message: /cancelled the dump, which held up its replication/,
            retryable: true,
          },
          hint: /hot_standby_feedback/,
        });
        await client.query('rollback');
      });
      await caughtUp();
      assert.equal((await dump(await makeFolder(t), { target: standby, pipeline })).content.rows, 20_001);
    });
  }

  it('case 14: one that has lost its primary is as old as the last commit that it got', async () => {
    await onPrimary('create table last ()');
    await caughtUp();
    await servers.stopPrimary();
    await until(
      'nothing comes any more',
      async () => (await onStandby('not exists (select from pg_stat_wal_receiver)')) === true,
    );
    await sleep(600);
    await assert.rejects(checkSource(servers.standby, { maxLagMs: 500 }), { code: 'standby-behind' });
    assert.match((await checkSource(servers.standby)).warnings.join('\n'), /s behind its primary/);
  });
});
