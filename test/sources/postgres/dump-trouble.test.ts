import assert from 'node:assert/strict';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { checkSource } from '../../../sources/postgres/check-source.ts';
import { compressDump, type CompressRequest } from '../../../sources/postgres/compress.ts';
import { SmallDisk } from '../../small-disk.ts';
import { dump, makeDatabase, makeFolder, makeRole, testClients } from './nasty-database.ts';
import { wrapPgDump } from './wrapped-client.ts';

const PIPELINES = ['staged', 'streamed'] as const;

function requestFor(directory: string): CompressRequest {
  return { directory, jobs: 1, scratch: join(directory, 'scratch'), stallMs: 30_000 };
}

/** Ends well, but a table's data file is cut. */
const HALF_FOLDER = `"$real" "$@"
for arg; do case $arg in --file=*) folder=\${arg#--file=} ;; esac; done
truncate --size=30000 "$(ls -S "$folder"/*.dat | head -n 1)"`;

for (const pipeline of PIPELINES) {
  test(`case 1: a login that only pg_dump is refused fails the ${pipeline} dump for good, and leaves no file`, async (t) => {
    const source = await makeDatabase(t);
    const target = await makeRole(t, source, 'superuser');
    const directory = await makeFolder(t);
    const clients = await testClients();
    // Asked for before pg_dump starts and after our own session has begun.
    const clientsFor = async () => {
      await source.sql(`alter role ${target.user} password 'another'`);
      return clients;
    };
    const denied = { code: 'server-denied', retryable: false };
    await assert.rejects(dump(directory, { target, pipeline, clientsFor }), denied);
    await assert.rejects(stat(join(directory, 'database.dump.zst')), { code: 'ENOENT' });
    const missing = { ...source.target, database: 'no such database' };
    const folder = await makeFolder(t);
    await assert.rejects(dump(folder, { target: missing, pipeline }), { code: 'database-missing', retryable: false });
    assert.deepEqual(await readdir(folder), []);
  });

  test(`case 9: rows behind row-level security fail the ${pipeline} dump, and never are fewer`, async (t) => {
    const source = await makeDatabase(t);
    // It may read the table, and would see none of its two rows.
    const target = await makeRole(t, source, 'in role pg_read_all_data');
    await assert.rejects(checkSource(target), { code: 'server-denied', message: /rows of public\.secret/ });
    await source.sql(`alter role ${target.user} in database ${target.database} set lo_compat_privileges = on`);
    const denied = { code: 'server-denied', message: /row-level security/, retryable: false };
    await assert.rejects(dump(await makeFolder(t), { target, pipeline }), denied);
    await source.sql(`alter role ${target.user} bypassrls`);
    const { content } = await dump(await makeFolder(t), { target, pipeline });
    assert.equal(content.tables.find(({ name }) => name === 'secret')?.rows, 2);
  });

  test(`case 10: large objects that the login may not read are named before the ${pipeline} dump, and fail it`, async (t) => {
    const source = await makeDatabase(t, "select lo_from_bytea(0, 'one'), lo_from_bytea(0, 'two')");
    const target = await makeRole(t, source, 'in role pg_read_all_data');
    const [object] = await source.sql<{ oid: number }>('select oid from pg_largeobject_metadata order by 1');
    const named = new RegExp(`cannot read all of .*large object ${object?.oid}`);
    await assert.rejects(checkSource(target), { code: 'server-denied', message: named, hint: /lo_compat_privileges/ });
    await assert.rejects(dump(await makeFolder(t), { target, pipeline }), { code: 'server-denied', retryable: false });
  });

  /** There are no lists of what to dump and what to leave out (the configuration refuses them): a dump is the whole database. */
  test(`case 11: a ${pipeline} dump that has only some of the tables fails and names what it lacks`, async (t) => {
    const directory = await makeFolder(t);
    const { target } = await makeDatabase(t);
    const dumpWith = async (option: string) =>
      await dump(directory, { target, pipeline, clients: await wrapPgDump(directory, `exec "$real" "$@" ${option}`) });
    const onlyBig = {
      code: 'bad-content',
      message: /its dump lacks the table [^]*, \d+ more, 4 of 4 large objects$/,
      retryable: false,
    };
    await assert.rejects(dumpWith('--table=public.big'), onlyBig);
    const noObjects = { code: 'bad-content', message: /its dump lacks 4 of 4 large objects/, retryable: false };
    await assert.rejects(dumpWith('--no-blobs'), noObjects);
  });

  test(`case 12: a ${pipeline} dump that leaves out more than anybody meant fails and names it`, async (t) => {
    const directory = await makeFolder(t);
    const { target } = await makeDatabase(t);
    const clients = await wrapPgDump(directory, `exec "$real" "$@" '--exclude-table-data=public.b*'`);
    const lacks = /its dump lacks the table public\.(big|bytes), the table public\.(big|bytes)$/;
    await assert.rejects(dump(directory, { target, pipeline, clients }), { code: 'bad-content', message: lacks });
  });

  test(`case 4: a ${pipeline} dump that fills the disk is told as such, and has no name`, async (t) => {
    // Random, so that the compressed half of it is more than the disk holds.
    const rows = 'create table big as select md5(random()::text) as body from generate_series(1, 100000)';
    const source = await makeDatabase(t, rows);
    const disk = await SmallDisk.mount('1m');
    t.after(() => disk.unmount());
    const full = { code: 'no-space', message: /the spool is full/ };
    await assert.rejects(dump(disk.path, { target: source.target, pipeline }), full);
    await assert.rejects(stat(join(disk.path, 'database.dump.zst')), { code: 'ENOENT' });
  });

  for (const [what, script] of [
    ['nothing at all', 'exit 0'],
    ['only the half of it', pipeline === 'staged' ? HALF_FOLDER : '"$real" "$@" | head -c 30000'],
  ] as const) {
    test(`case 24: a pg_dump that ends well and wrote ${what} never becomes a ${pipeline} archive`, async (t) => {
      const source = await makeDatabase(t);
      const directory = await makeFolder(t);
      const clients = await wrapPgDump(directory, script);
      await assert.rejects(dump(directory, { target: source.target, pipeline, clients }), {
        code: 'bad-content',
        retryable: false,
      });
      // Neither the name of a finished dump, nor what one is made of.
      await assert.rejects(stat(join(directory, 'database.dump.zst')), { code: 'ENOENT' });
      if (what === 'nothing at all') await assert.rejects(compressDump(requestFor(directory)), { code: 'not-found' });
    });
  }
}

test('case 17: what pg_dump warns of though it ended well is in the report of the dump', async (t) => {
  const source = await makeDatabase(
    t,
    `create table hen (id int primary key, egg int); create table egg (id int primary key, hen int references hen);
     alter table hen add foreign key (egg) references egg; insert into hen values (1, null); insert into egg values (1, 1);
     create subscription leaving connection 'dbname=nowhere' publication p with (connect = false)`,
  );
  const target = await makeRole(t, source, 'bypassrls in role pg_read_all_data');
  try {
    for (const pipeline of PIPELINES) {
      const { warnings, content } = await dump(await makeFolder(t), { target, pipeline });
      assert.deepEqual(
        warnings.map((line) => /pg_dump: warning: subscriptions not dumped/.test(line)),
        [true],
      );
      // Circular foreign keys come after the data in a whole dump, so there is nothing to warn of.
      assert.equal(content.rows, 2);
      assert.equal(content.inventory?.constraints, 4);
    }
  } finally {
    // A database with a subscription cannot be dropped.
    await source.sql('alter subscription leaving set (slot_name = none)');
    await source.sql('drop subscription leaving');
  }
});
