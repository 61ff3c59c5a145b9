import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

import type pg from 'pg';

import { Secret } from '../../../config/secret.ts';
import { findClients, type Clients } from '../../../sources/postgres/clients.ts';
import { withClient, type PostgresTarget } from '../../../postgres/connect.ts';
import { dumpDatabase, type DumpRequest, type DumpResult } from '../../../sources/postgres/dump.ts';
import { testServers } from '../../servers.ts';

/** The name of the table that quoting, line breaks and the words of the tools' own lists can trip over. */
export const AWKWARD = { schema: 'Ação "e" aspas', name: 'tab\nle; 1; 0 2 TABLE DATA x FROM stdin;\n' };

/** Everything that a dump can trip over and any server from 12 on knows. */
export const NASTY = `
  create schema "Ação ""e"" aspas";
  create table "Ação ""e"" aspas"."tab\nle; 1; 0 2 TABLE DATA x FROM stdin;\n" (
    id int generated always as identity primary key, "Nome" text, dobro int generated always as (2) stored);
  insert into "Ação ""e"" aspas"."tab\nle; 1; 0 2 TABLE DATA x FROM stdin;\n" ("Nome")
    values ('maçã'), (E'duas\nlinhas'), (null), (E'\\\\.'), ('COPY x FROM stdin;');
  create table "MixedCase" (a int, "FROM stdin;
" text); insert into "MixedCase" values (1, E'\t');
  create table "no columns" (); insert into "no columns" default values; insert into "no columns" default values;
  create table empty (a int);
  create table sales (day int, amount numeric, primary key (day)) partition by range (day);
  create table sales_1 partition of sales for values from (0) to (100);
  create table sales_2 partition of sales for values from (100) to (200);
  insert into sales select g, g * 1.5 from generate_series(0, 149) g;
  create unlogged table quick (a int); insert into quick values (1);
  create table big (id int primary key, body text);
  insert into big select g, repeat(md5(g::text), 8) from generate_series(1, 4000) g;
  create table bytes (b bytea); insert into bytes select decode(md5(g::text), 'hex') from generate_series(1, 500) g;
  create schema ext; create extension hstore schema ext;
  create table tagged (t ext.hstore); insert into tagged values ('a=>1');
  create view seen as select * from big;
  create materialized view totals as select count(*) from sales;
  create table secret (owner text); alter table secret enable row level security;
  create policy mine on secret using (owner = current_user); insert into secret values ('a'), ('b');
  create function touch() returns trigger language plpgsql as 'begin return new; end';
  create trigger touched before update on big for each row execute function touch();
  create domain cpf as text check (value ~ '^[0-9]{11}$'); create type colour as enum ('azul', 'não');
  create type span as range (subtype = text);
  create index on big (md5(body)); create sequence lonely; select nextval('lonely');
  select lo_from_bytea(0, ''), lo_from_bytea(0, 'small'), lo_from_bytea(0, decode(repeat('00ff0a5c', 20000), 'hex')), lo_from_bytea(0, 'small again');`;

export interface TestDatabase {
  readonly target: PostgresTarget;
  readonly sql: <R extends pg.QueryResultRow>(text: string) => Promise<R[]>;
}

/** A database of its own for this test, dropped after it. */
export async function makeDatabase(t: TestContext, sql: string = NASTY, options = ''): Promise<TestDatabase> {
  const { postgres } = testServers();
  const admin = { ...postgres, tls: 'off' as const, password: new Secret(postgres.password), database: 'postgres' };
  const database = `dump_${randomBytes(6).toString('hex')}`;
  const asAdmin = (text: string) => withClient(admin, (client) => client.query(text));
  await asAdmin(`create database ${database} ${options}`);
  t.after(() => asAdmin(`drop database ${database} with (force)`));
  const target = { ...admin, database };
  const run: TestDatabase['sql'] = (text) =>
    withClient(target, async (client) => {
      await client.query('set search_path = public');
      return (await client.query(text)).rows;
    });
  await run(sql);
  return { target, sql: run };
}

/** A role for a test's database, dropped after it: hooks run in the order in which they were added. */
export async function makeRole(t: TestContext, { target, sql }: TestDatabase, options = ''): Promise<PostgresTarget> {
  const user = `role_${randomBytes(6).toString('hex')}`;
  const password = randomBytes(8).toString('hex');
  await sql(`create role ${user} login password '${password}' ${options}`);
  t.after(() => withClient({ ...target, database: 'postgres' }, (client) => client.query(`drop role ${user}`)));
  return { ...target, user, password: new Secret(password) };
}

export async function makeFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'cofre-dump-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** The tools for the test server. */
export async function testClients() {
  const { rows } = await withClient(
    {
      ...testServers().postgres,
      tls: 'off',
      password: new Secret(testServers().postgres.password),
      database: 'postgres',
    },
    (client) => client.query<{ version: number }>("select current_setting('server_version_num')::int as version"),
  );
  return findClients(rows[0]?.version ?? 0);
}

export async function dump(
  directory: string,
  request: Pick<DumpRequest, 'target' | 'pipeline'> & Partial<DumpRequest> & { readonly clients?: Clients },
): Promise<DumpResult> {
  const clients = request.clients ?? (await testClients());
  return dumpDatabase({
    clientsFor: async () => clients,
    directory,
    jobs: 2,
    scratch: join(directory, 'scratch'),
    stallMs: 30_000,
    ...request,
  });
}

/** Every table's content as one text, for comparing two databases. */
export async function contentOf({ sql }: Pick<TestDatabase, 'sql'>): Promise<Record<string, unknown>> {
  const tables = await sql<{ table: string }>(`
    select format('%I.%I', n.nspname, c.relname) as table from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'm') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' order by 1`);
  const content: Record<string, unknown> = {};
  for (const { table } of tables) {
    content[table] = await sql(`select count(*), md5(string_agg(t::text, '|' order by t::text)) from ${table} t`);
  }
  content['large objects'] = await sql('select oid, md5(lo_get(oid)) from pg_largeobject_metadata order by oid');
  return content;
}
