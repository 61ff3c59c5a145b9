import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';

import pg from 'pg';

import { withClient, type PostgresTarget } from '../../../postgres/connect.ts';
import { checkSource } from '../../../sources/postgres/check-source.ts';
import { dump, makeDatabase, makeFolder, makeRole, type TestDatabase } from './nasty-database.ts';

/** What lies in wait in a customer's database: whoever runs it makes `tenant` a superuser, if he may. */
const trap = (database: string, tenant: string): readonly string[] => [
  'create schema evil; grant usage on schema evil to public',
  `create function evil.take_over() returns boolean language plpgsql as
     $$ begin alter role ${tenant} superuser; return true; exception when insufficient_privilege then return true; end $$`,
  `create table public.bait (id int, body text); insert into public.bait select g, repeat('x', 100) from generate_series(1, 200) g`,
  `create function evil.as_text(public.bait) returns text language sql volatile as $$ select evil.take_over()::text $$`,
  'create cast (public.bait as text) with function evil.as_text(public.bait)',
  'create view evil.pg_database as select d.* from pg_catalog.pg_database d where evil.take_over()',
  'create view evil.pg_namespace as select n.* from pg_catalog.pg_namespace n where evil.take_over()',
  `create function evil.same(name, name) returns boolean language sql volatile as $$ select evil.take_over() $$`,
  'create operator evil.= (leftarg = name, rightarg = name, function = evil.same)',
  `alter database ${database} set search_path = evil, pg_catalog`,
];

/** A session as a customer has it, with the database's own settings. */
async function asCustomer(target: PostgresTarget, statements: readonly string[]): Promise<void> {
  const { host, port, user, password, database } = target;
  const client = new pg.Client({ host, port, user, password: password.reveal(), database });
  await client.connect();
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}

async function makeTrap(t: TestContext): Promise<{ source: TestDatabase; tookOver: () => Promise<boolean> }> {
  const source = await makeDatabase(t, '');
  const tenant = await makeRole(t, source);
  const { database } = source.target;
  await source.sql(`alter database ${database} owner to ${tenant.user}`);
  await asCustomer(tenant, trap(database, tenant.user));
  const tookOver = async (): Promise<boolean> => {
    const rows = await source.sql<{ rolsuper: boolean }>(
      `select rolsuper from pg_roles where rolname = '${tenant.user}'`,
    );
    return rows[0]?.rolsuper ?? false;
  };
  return { source, tookOver };
}

test('nothing that a customer put into a database runs as the login that backs it up', async (t) => {
  const { source, tookOver } = await makeTrap(t);
  const report = await checkSource(source.target);
  assert.equal(await tookOver(), false, 'by the check');
  assert.ok(report.estimatedRawBytes > 20_000, `${report.estimatedRawBytes} bytes`);
  for (const pipeline of ['staged', 'streamed'] as const) {
    const { content, database } = await dump(await makeFolder(t), { target: source.target, pipeline });
    assert.equal(await tookOver(), false, `by a ${pipeline} dump`);
    assert.equal(content.rows, 200);
    assert.deepEqual(
      database.settings.map(({ name, value }) => [name, value]),
      [['search_path', 'evil, pg_catalog']],
    );
  }
});

for (const [what, sql] of [
  ['a cast', 'select b::text from public.bait b limit 1'],
  ['the search path', 'select datname from pg_database limit 1'],
] as const) {
  test(`the trap works: ${what} runs in a session that does not look out`, async (t) => {
    const { source, tookOver } = await makeTrap(t);
    await asCustomer(source.target, [sql]);
    assert.equal(await tookOver(), true);
  });
}

test('the search path of a role in a database does not hold in our sessions either', async (t) => {
  const { target, sql } = await makeDatabase(t, '');
  await sql(`alter role postgres in database ${target.database} set search_path = evil, pg_catalog`);
  const { rows } = await withClient(target, (client) => client.query<{ search_path: string }>('show search_path'));
  assert.equal(rows[0]?.search_path, 'pg_catalog,pg_temp');
});

test('options of user mappings that the login cannot see are named with the backup', async (t) => {
  const source = await makeDatabase(t, '');
  const other = await makeRole(t, source);
  const target = await makeRole(t, source, 'bypassrls in role pg_read_all_data');
  await source.sql(`create foreign data wrapper w; create server "far away" foreign data wrapper w;
    create user mapping for ${other.user} server "far away" options (password 'secret-value')`);
  const warning = new RegExp(
    `the options of the user mapping of ${other.user} on the server "far away" .* ${target.user}`,
  );
  assert.match((await checkSource(target)).warnings.join('\n'), warning);
  const { warnings } = await dump(await makeFolder(t), { target, pipeline: 'staged' });
  assert.match(warnings.join('\n'), warning);

  assert.deepEqual((await checkSource(source.target)).warnings, [], 'a superuser sees them');
  await source.sql(`drop user mapping for ${other.user} server "far away"; grant usage on foreign server "far away" to ${target.user};
    create user mapping for ${target.user} server "far away"`);
  assert.deepEqual((await checkSource(target)).warnings, [], 'its own it sees, also if there are none');
});

test('a schema DATA is not taken for the words of the list', async (t) => {
  const source = await makeDatabase(
    t,
    `create schema "DATA"; create table "DATA"."TABLE DATA" (a int); insert into "DATA"."TABLE DATA" values (1), (2);
     create table "DATA"."0 1 TABLE DATA x" (a int); create view "DATA".seen as select 1 as a`,
  );
  for (const pipeline of ['staged', 'streamed'] as const) {
    const { content } = await dump(await makeFolder(t), { target: source.target, pipeline });
    assert.deepEqual(content.tables.map(({ name, rows }) => [name, rows]).sort(), [
      ['0 1 TABLE DATA x', 0],
      ['TABLE DATA', 2],
    ]);
  }
});

test('names that are not UTF-8 are refused as such, before the dump and for good', async (t) => {
  const source = await makeDatabase(t, '', `template template0 encoding 'SQL_ASCII' locale 'C'`);
  await source.sql(
    `do $$ begin execute convert_from('\\x637265617465207461626c65207075626c69632e226de7e222202861'::bytea, 'SQL_ASCII') || ' int)'; end $$`,
  );
  for (const refused of [
    checkSource(source.target),
    dump(await makeFolder(t), { target: source.target, pipeline: 'staged' }),
  ]) {
    await assert.rejects(refused, { code: 'refused', retryable: false, message: /not UTF-8/, hint: /SQL_ASCII/ });
  }
});

test('a server that says no is not called one that does not answer', async (t) => {
  const { target } = await makeDatabase(t, '');
  const failure = (sql: string) => withClient(target, (client) => client.query(sql));
  await assert.rejects(failure(`create database ${target.database}`), {
    code: 'already-exists',
    message: /already exists/,
  });
  for (const sql of ['select nothing', 'select 1 / 0', 'this is no SQL']) {
    await assert.rejects(failure(sql), { code: 'unexpected', message: /refused a statement/, hint: undefined }, sql);
  }
  await assert.rejects(failure('select pg_terminate_backend(pg_backend_pid())'), { code: 'server-unavailable' });
});
