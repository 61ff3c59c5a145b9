import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';

import { CofreError } from '../../../errors/error.ts';
import { compressDump } from '../../../sources/postgres/compress.ts';
import { withClient } from '../../../postgres/connect.ts';
import { countRows, readInventory } from '../../../sources/postgres/inventory.ts';
import {
  AWKWARD,
  contentOf,
  dump,
  makeDatabase,
  makeFolder,
  testClients,
  type TestDatabase,
} from './nasty-database.ts';

const run = promisify(execFile);

async function restoreByHand(t: TestContext, source: TestDatabase, commands: string): Promise<TestDatabase> {
  const { pgRestore } = await testClients();
  const { target } = source;
  const restored = await makeDatabase(t, '', 'template template0');
  const env = {
    PATH: `${pgRestore.slice(0, pgRestore.lastIndexOf('/'))}:${process.env['PATH']}`,
    ...{ PGHOST: target.host, PGPORT: String(target.port), PGUSER: target.user, PGPASSWORD: target.password.reveal() },
    TARGET: restored.target.database,
  };
  await run('bash', ['--norc', '-eo', 'pipefail', '-c', commands], { env });
  return restored;
}

async function equalToSource(source: TestDatabase, restored: TestDatabase): Promise<void> {
  assert.deepEqual(await contentOf(restored), await contentOf(source));
  assert.deepEqual(await withClient(restored.target, readInventory), await withClient(source.target, readInventory));
}

test('a staged dump counts its rows, and its archive restores with the stock commands', async (t) => {
  const source = await makeDatabase(t);
  const directory = await makeFolder(t);
  const { content, file, warnings } = await dump(directory, { target: source.target, pipeline: 'staged' });
  assert.equal(file, null);
  assert.deepEqual(warnings, []);
  const counts = await withClient(source.target, (client) => countRows(client, content.tables));
  assert.deepEqual(
    content.tables.map(({ rows }) => rows),
    [...counts.values()],
  );
  assert.equal(content.tables.find(({ name }) => name === AWKWARD.name)?.schema, AWKWARD.schema);
  assert.equal(content.tables.find(({ name }) => name === AWKWARD.name)?.rows, 5);
  assert.equal(content.largeObjects.count, 4);
  assert.equal(content.largeObjects.rawBytes, 80_016);

  const archive = await compressDump({ directory, jobs: 2, scratch: join(directory, 'scratch'), stallMs: 30_000 });
  assert.equal(archive.file, 'database.tar');
  assert.deepEqual((await readdir(directory)).sort(), ['database.tar', 'scratch']);
  const commands = `cd ${directory} && mkdir d && tar xf database.tar -C d && find d -name '*.zst' -print0 | xargs -0r zstd -dq --rm && pg_restore -Fd -j4 --no-owner -d "$TARGET" d`;
  await equalToSource(source, await restoreByHand(t, source, commands));
});

test('a streamed dump has the same rows and hashes as a staged one, and restores with the stock commands', async (t) => {
  const source = await makeDatabase(t);
  const staged = await dump(await makeFolder(t), { target: source.target, pipeline: 'staged' });
  const directory = await makeFolder(t);
  const streamed = await dump(directory, { target: source.target, pipeline: 'streamed' });
  assert.equal(streamed.file, 'database.dump.zst');
  const { tocSha256, ...expected } = staged.content;
  assert.match(tocSha256 ?? '', /^[0-9a-f]{64}$/);
  assert.deepEqual(streamed.content, {
    ...expected,
    tables: expected.tables.map((table) => ({ ...table, file: null })),
  });
  assert.deepEqual((await readdir(directory)).sort(), ['database.dump.zst', 'scratch']);
  const commands = `cd ${directory} && zstd -dc database.dump.zst | pg_restore --no-owner -d "$TARGET"`;
  await equalToSource(source, await restoreByHand(t, source, commands));
});

test('a LATIN1 database is dumped in its own encoding, by either pipeline', async (t) => {
  const source = await makeDatabase(
    t,
    `create table "Ação" ("maçã" text); insert into "Ação" values ('é'), ('ü')`,
    `template template0 encoding 'LATIN1' locale 'C'`,
  );
  for (const pipeline of ['staged', 'streamed'] as const) {
    const directory = await makeFolder(t);
    const { content, database } = await dump(directory, { target: source.target, pipeline });
    assert.equal(database.encoding, 'LATIN1');
    assert.deepEqual(
      content.tables.map(({ name, rows, rawBytes }) => [name, rows, rawBytes]),
      [['Ação', 2, 9]],
    );
  }
});

test('the counts are those of the snapshot while others write', async (t) => {
  const source = await makeDatabase(t, `create table log (n int); insert into log select generate_series(1, 200000)`);
  let writing = true;
  const writer = withClient(source.target, async (client) => {
    while (writing) await client.query('insert into public.log select generate_series(1, 10)');
  });
  for (const pipeline of ['staged', 'streamed'] as const) {
    const directory = await makeFolder(t);
    const { content } = await dump(directory, { target: source.target, pipeline });
    await compressDump({ directory, jobs: 1, scratch: join(directory, 'scratch'), stallMs: 30_000 });
    const unpack =
      pipeline === 'staged'
        ? `tar xf database.tar && (find . -name '*.dat.zst' -print0 | xargs -0r zstd -dq --rm) && pg_restore -d "$TARGET" .`
        : `zstd -dc database.dump.zst | pg_restore -d "$TARGET"`;
    const restored = await restoreByHand(t, source, `cd ${directory} && ${unpack}`);
    const [restoredRows] = await restored.sql<{ count: string }>('select count(*) from log');
    assert.equal(Number(restoredRows?.count), content.rows);
    const [now] = await source.sql<{ count: string }>('select count(*) from log');
    assert.ok(Number(now?.count) > content.rows, 'the writer wrote during the dump');
  }
  writing = false;
  await writer;
});

test('facts and data are of one instant, whatever is committed between the snapshot and pg_dump', async (t) => {
  const source = await makeDatabase(t);
  for (const pipeline of ['staged', 'streamed'] as const) {
    const before = await withClient(source.target, readInventory);
    const [rows] = await source.sql<{ count: string }>('select count(*) from big');
    const directory = await makeFolder(t);
    const dumping = await withClient(source.target, async (client) => {
      // The facts are read after the snapshot was taken, and so does pg_dump read: they wait here. Of the system's tables this is one
      // that no session needs to begin: with another one locked, whoever comes when PostgreSQL's cache file is gone cannot connect.
      await client.query('begin; lock table pg_policy in access exclusive mode');
      const running = dump(directory, { target: source.target, pipeline });
      await eventually(() =>
        source.sql(
          "select 1 from pg_locks where not granted and relation = 'pg_policy'::regclass and database = (select oid from pg_database where datname = current_database())",
        ),
      );
      await source.sql(`create table new_${pipeline} (a int); insert into big select max(id) + 1 from big`);
      return { running };
    });
    const { content } = await dumping.running;
    assert.equal(content.tables.find(({ name }) => name === 'big')?.rows, Number(rows?.count));
    assert.ok(!content.tables.some(({ name }) => name === `new_${pipeline}`));
    assert.deepEqual(content.inventory, before);
  }
});

test('a table that stays locked ends the dump as database-locked, without holding others up', async (t) => {
  const source = await makeDatabase(t);
  await withClient(source.target, async (client) => {
    await client.query('begin; lock table public.big in access exclusive mode');
    const request = { target: source.target, pipeline: 'streamed' as const, stallMs: 3_000 };
    await assert.rejects(dump(await makeFolder(t), request), { code: 'database-locked' });
  });
});

test('a cancelled dump ends with the reason given and leaves no process', async (t) => {
  const source = await makeDatabase(t);
  for (const pipeline of ['staged', 'streamed'] as const) {
    const directory = await makeFolder(t);
    const stop = new AbortController();
    const reason = new Error('cancelled by the test');
    await withClient(source.target, async (client) => {
      // Holds the dump still, so that it is surely under way.
      await client.query('begin; lock table public.big in access exclusive mode');
      const records = join(directory, 'records');
      const dumping = dump(directory, { target: source.target, pipeline, signal: stop.signal, records });
      const [pid] = await eventually(() => readdir(records));
      stop.abort(reason);
      await assert.rejects(dumping, reason);
      await assert.rejects(stat(`/proc/${pid}`), { code: 'ENOENT' });
      assert.deepEqual(await readdir(records), []);
      assert.deepEqual(await readdir(join(directory, 'scratch')), [], 'the login file is gone');
    });
    if (pipeline === 'streamed') await assert.rejects(stat(join(directory, 'database.dump.zst')), { code: 'ENOENT' });
  }
});

test('a pg_dump that stands still is ended and called stalled', async (t) => {
  const source = await makeDatabase(t);
  const directory = await makeFolder(t);
  const records = join(directory, 'records');
  await withClient(source.target, async (client) => {
    await client.query('begin; lock table public.big in access exclusive mode');
    const dumping = dump(directory, { target: source.target, pipeline: 'staged', records, stallMs: 2_500 });
    const [pid] = await eventually(() => readdir(records));
    process.kill(Number(pid), 'SIGSTOP');
    await assert.rejects(dumping, { code: 'tool-stalled' });
    await assert.rejects(stat(`/proc/${pid}`), { code: 'ENOENT' });
  });
});

test('what the check of the space throws ends the dump', async (t) => {
  const source = await makeDatabase(t);
  const full = new CofreError('no-space', 'the spool is nearly full');
  await withClient(source.target, async (client) => {
    await client.query('begin; lock table public.big in access exclusive mode');
    const request = { target: source.target, pipeline: 'staged' as const, checkSpace: () => Promise.reject(full) };
    await assert.rejects(dump(await makeFolder(t), request), full);
  });
});

test('a server that ends the session in the middle leaves nothing that looks like a dump', async (t) => {
  const source = await makeDatabase(t);
  const directory = await makeFolder(t);
  await withClient(source.target, async (client) => {
    await client.query('begin; lock table public.big in access exclusive mode');
    const dumping = dump(directory, { target: source.target, pipeline: 'streamed' });
    const ended = eventually(() =>
      source.sql(
        "select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()",
      ),
    );
    await assert.rejects(dumping, { code: 'server-unavailable' });
    await ended;
  });
  await assert.rejects(stat(join(directory, 'database.dump.zst')), { code: 'ENOENT' });
});

test('the password stands in no argument, environment or file that stays', async (t) => {
  const source = await makeDatabase(t);
  const directory = await makeFolder(t);
  const records = join(directory, 'records');
  const stop = new AbortController();
  await withClient(source.target, async (client) => {
    await client.query('begin; lock table public.big in access exclusive mode');
    const dumping = dump(directory, { target: source.target, pipeline: 'staged', records, signal: stop.signal });
    const [pid] = await eventually(() => readdir(records));
    const seen = (await readFile(`/proc/${pid}/cmdline`, 'utf8')) + (await readFile(`/proc/${pid}/environ`, 'utf8'));
    assert.match(seen, /pg_dump/);
    assert.ok(!seen.includes(source.target.password.reveal()));
    stop.abort();
    await assert.rejects(dumping);
  });
});

/** Asks until there is something, for ten seconds at most. */
async function eventually<T>(ask: () => Promise<readonly T[]>): Promise<readonly T[]> {
  for (const deadline = performance.now() + 10_000; performance.now() < deadline; await sleep(50)) {
    const found = await ask().catch(() => []);
    if (found.length > 0) return found;
  }
  throw new Error('it did not happen');
}
