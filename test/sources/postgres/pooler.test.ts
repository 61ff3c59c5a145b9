import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { after, before, test } from 'node:test';

import pg from 'pg';

import { openClient, type PostgresTarget } from '../../../postgres/connect.ts';
import { checkSource } from '../../../sources/postgres/check-source.ts';
import { checkTarget } from '../../../sources/postgres/check-target.ts';
import { startHalfPooler, startPgBouncer, type Habit, type Pooler } from '../../pooler.ts';
import { dump, makeDatabase, makeFolder, type TestDatabase } from './nasty-database.ts';

/** What makes PgBouncer let our sessions in at all: as its manual advises for clients that send settings. */
const TOLERANT = { ignore_startup_parameters: 'extra_float_digits,options' };

let source: TestDatabase;
const cleanup: (() => unknown)[] = [];

before(async () => {
  source = await makeDatabase(
    { after: (hook: () => unknown) => cleanup.push(hook) } as never,
    'create table t (a int)',
  );
});
after(async () => {
  for (const hook of cleanup) await hook();
});

async function behind(pooler: Pooler, use: (target: PostgresTarget) => Promise<void>): Promise<void> {
  try {
    await use({ ...source.target, host: '127.0.0.1', port: pooler.port });
  } finally {
    await pooler.stop();
  }
}

async function refusesAll(target: PostgresTarget, folder: string): Promise<void> {
  const refused = {
    code: 'bad-config',
    message: /is a connection pooler, not the PostgreSQL server/,
    retryable: false,
  };
  await assert.rejects(checkSource(target), refused, 'the preflight of a backup');
  await assert.rejects(dump(folder, { target, pipeline: 'staged' }), refused, 'the dump itself');
  const restore = { admin: { ...target, database: 'postgres' }, database: 'x', owner: 'x', roles: [], trusted: false };
  const nothing = { facts: null, serverVersionNumber: null, extensions: [] };
  await assert.rejects(checkTarget(restore, nothing), refused, 'the preflight of a restore');
  assert.deepEqual(await readdir(folder), []);
}

/** What an application's session through the pooler finds: `session` are the settings that somebody left in it. */
async function sessionThrough({ host, port, user, password, database }: PostgresTarget): Promise<unknown[]> {
  const client = new pg.Client({ host, port, user, password: password.reveal(), database });
  await client.connect();
  try {
    const { rows } = await client.query<{ name: string }>(
      "select name, setting from pg_settings where name in ('search_path', 'statement_timeout', 'lock_timeout', 'row_security') or source = 'session' order by 1",
    );
    return rows.filter(({ name }) => name !== 'application_name');
  } finally {
    await client.end();
  }
}

for (const mode of ['transaction', 'session'] as const) {
  for (const [habit, settings] of [
    ['that leaves the settings of a session out', TOLERANT],
    ['that refuses the settings of a session', {}],
  ] as const) {
    test(`case 13: a PgBouncer with ${mode} pooling ${habit} is refused, and its sessions are as before`, async (t) => {
      const folder = await makeFolder(t);
      await behind(await startPgBouncer(mode, settings), async (target) => {
        const before = await sessionThrough(target);
        assert.ok(before.length >= 4);
        await refusesAll(target, folder);
        assert.deepEqual(await sessionThrough(target), before);
      });
    });
  }
}

for (const habit of ['leaves the settings out', 'announces a process of its own'] satisfies Habit[]) {
  test(`case 13: a pooler is known by that alone that it ${habit}`, async () => {
    await behind(await startHalfPooler(habit), async (target) => {
      await assert.rejects(openClient(target), { code: 'bad-config' });
    });
  });
}
