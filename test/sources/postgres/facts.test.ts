import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';

import { withClient } from '../../../postgres/connect.ts';
import { readDatabaseFacts } from '../../../sources/postgres/facts.ts';
import { makeDatabase, makeFolder, makeRole, testClients } from './nasty-database.ts';

const run = promisify(execFile);

const PRIVILEGED = `
  create extension hstore;
  create schema "other one"; create table part (a int);
  create function cfun(text, integer) returns text language c as '$libdir/hstore', 'hstore_in';
  create procedure "other one"."do it"(text, int default 3, variadic x int[] default null) language c as '$libdir/hstore', 'hstore_in';
  create function harmless(int) returns int language sql as 'select 1';
  create function internal_one(integer) returns integer language internal as 'int4abs';
  create function leak(int, int) returns bool language sql leakproof as 'select true';
  create function quiet() returns int language sql set log_min_messages to 'error' as 'select 1';
  create function placeholder() returns int language sql set "my.own" to '1' as 'select 1';
  create function path() returns int language sql set search_path to public as 'select 1';
  create function helped(internal) returns internal language internal as 'generate_series_int4_support';
  create function supported(int) returns int language sql support helped as 'select 1';
  create aggregate summed(int8) (sfunc = int8_avg_accum, stype = internal, finalfunc = numeric_poly_avg);
  create aggregate counted(*) (sfunc = int8inc, stype = int8, initcond = '0');
  create type shell;
  create type bt; create function bt_in(cstring) returns bt language internal strict immutable as 'int4in';
  create function bt_out(bt) returns cstring language internal strict immutable as 'int4out';
  create type bt (input = bt_in, output = bt_out, like = int4);
  create function to_bt(text) returns bt language sql as 'select null::bt';
  create cast (bt as int4) without function; create cast (text as bt) with function to_bt(text); create cast (int4 as part) with inout;
  create function watch() returns event_trigger language plpgsql as 'begin end'; create event trigger "ev t" on ddl_command_start execute function watch();
  create foreign data wrapper fdw1; create server srv1 foreign data wrapper fdw1;
  create user mapping for current_user server srv1; create user mapping for public server srv1;
  create publication every for all tables; create publication one for table part; create publication inside for tables in schema "other one";
  create subscription subs connection 'host=x' publication y with (connect = false);
  create language lang2 handler plpgsql_call_handler; create trusted language lang3 handler plpgsql_call_handler;
  create access method am1 type table handler heap_tableam_handler;
  create operator class oc1 for type int4 using btree as operator 1 <, function 1 btint4cmp(int4, int4);
  create operator family "other one".of1 using btree;
  create text search parser tsp (start = prsd_start, gettoken = prsd_nexttoken, end = prsd_end, lextypes = prsd_lextype);
  create text search template tst (lexize = dsimple_lexize); create text search dictionary tsd (template = simple);
  create transform for hstore language plpgsql (from sql with function prsd_lextype(internal));`;

/** What of this a superuser is not needed for: pg_restore's list has it, and the facts must not. */
const HARMLESS =
  /harmless|public path|to_bt\(text\)$|counted|PUBLICATION - one|TEXT SEARCH DICTIONARY|integer AS public\.part|TABLE public part|PUBLICATION TABLE public/;

test('what only a superuser may create is named as pg_restore lists it', async (t) => {
  const source = await makeDatabase(t, PRIVILEGED);
  const { privileged } = await withClient(source.target, readDatabaseFacts);
  const folder = await makeFolder(t);
  const { pgDump, pgRestore } = await testClients();
  const { host, port, user, password, database } = source.target;
  const env = { PGHOST: host, PGPORT: String(port), PGUSER: user, PGPASSWORD: password.reveal(), PGDATABASE: database };
  await run(pgDump, ['-Fc', '-s', '-f', `${folder}/dump`], { env });
  const { stdout } = await run(pgRestore, ['--list', `${folder}/dump`]);
  const listed = stdout
    .split('\n')
    .flatMap((line) => /^\d+; \d+ \d+ (.*?) ?\w*$/.exec(line)?.[1] ?? [])
    .filter((entry) => !/^(SCHEMA|EXTENSION|COMMENT|PUBLICATION TABLE public) /.test(entry) && !HARMLESS.test(entry));
  const found = privileged.map(({ type, schema, name }) => `${type} ${schema ?? '-'} ${name}`);
  // A subscription would keep the database from being dropped.
  await source.sql('alter subscription subs set (slot_name = none); drop subscription subs');
  assert.deepEqual(found.sort(), listed.map((entry) => entry.trimEnd()).sort());
});

test('facts have the database’s settings, privileges, extensions and locale', async (t) => {
  const source = await makeDatabase(
    t,
    'create schema ext; create extension hstore schema ext',
    `template template0 encoding 'LATIN1' locale 'C'`,
  );
  const role = await makeRole(t, source);
  const { database } = source.target;
  await source.sql(`alter database ${database} set "work_mem" = '9MB'; alter database ${database} set log_min_messages = 'error';
    alter role ${role.user} in database ${database} set search_path = 'a', 'b=c'; comment on database ${database} is 'dados';
    alter database ${database} connection limit 7; revoke all on database ${database} from public; grant connect on database ${database} to ${role.user}`);
  const facts = await withClient(source.target, readDatabaseFacts);
  assert.equal(facts.encoding, 'LATIN1');
  assert.deepEqual(
    [facts.collate, facts.localeProvider, facts.icuLocale, facts.comment, facts.connectionLimit],
    ['C', 'libc', null, 'dados', 7],
  );
  assert.deepEqual(facts.settings, [
    { role: null, name: 'log_min_messages', value: 'error', superuser: true },
    { role: null, name: 'work_mem', value: '9MB', superuser: false },
    { role: role.user, name: 'search_path', value: 'a, "b=c"', superuser: false },
  ]);
  assert.deepEqual(facts.privileged, [{ type: 'SETTING', schema: null, name: 'log_min_messages' }]);
  assert.deepEqual(
    facts.privileges
      ?.filter(({ grantee }) => grantee !== 'postgres')
      .map(({ grantee, privilege, grantable }) => [grantee, privilege, grantable]),
    [[role.user, 'CONNECT', false]],
  );
  assert.ok(facts.extensions.some(({ name, schema }) => name === 'hstore' && schema === 'ext'));
});

test('the roles are those that the database names, their groups and their members, and no administrator’s others', async (t) => {
  const source = await makeDatabase(t, '');
  const names: Record<string, string> = {};
  for (const name of ['owner', 'granted', 'group', 'member', 'stranger'])
    names[name] = (await makeRole(t, source)).user;
  const { owner, granted, group, member, stranger } = names;
  const admin = (await makeRole(t, source, 'createrole')).user;
  await source.sql(`create table mine (a int); alter table mine owner to ${owner}; grant select on mine to ${granted};
    grant ${group} to ${owner}; grant ${owner} to ${member} with admin option;
    grant ${owner}, ${stranger} to ${admin}; grant pg_monitor to ${member}; grant pg_monitor to ${stranger}`);
  const { roles, memberships } = await withClient(source.target, readDatabaseFacts);
  assert.deepEqual(
    roles
      .map(({ name }) => name)
      .filter((name) => name !== 'postgres')
      .sort(),
    [owner, granted, group, member].sort(),
  );
  assert.deepEqual(
    memberships.map(({ role, member: of, admin: may }) => `${of} in ${role}${may ? ' as admin' : ''}`).sort(),
    [`${member} in ${owner} as admin`, `${member} in pg_monitor`, `${owner} in ${group}`].sort(),
  );
});
