import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import pg from 'pg';

import type { CofreError } from '../../../errors/error.ts';
import { checkTarget } from '../../../sources/postgres/check-target.ts';
import { compareWithManifest } from '../../../sources/postgres/compare.ts';
import { discardLoad } from '../../../sources/postgres/create-database.ts';
import { dropDatabase } from '../../../sources/postgres/drop-database.ts';
import type { RestoreTarget } from '../../../sources/postgres/restore-target.ts';
import { admin, backUp, Bench, restore, roleList, sql, type Backup } from './restore-fixture.ts';

describe('what a restore lets a source do', () => {
  let bench: Bench;
  let owner: string;
  before(async () => {
    bench = await Bench.open();
    owner = bench.role('dono');
    await sql('postgres', `CREATE ROLE ${owner} LOGIN PASSWORD 'x'`);
  });
  after(() => bench.close());

  async function makeSource(name: string, text: string): Promise<{ name: string; target: RestoreTarget }> {
    const database = bench.database(name);
    await sql('postgres', `CREATE DATABASE ${pg.escapeIdentifier(database)} OWNER ${owner} TEMPLATE template0`);
    await sql(database, text);
    return { name: database, target: { admin, database, owner, roles: [], trusted: false } };
  }

  test('a row that does not fit is told without its values', async () => {
    const { name, target } = await makeSource(
      'linha',
      `SET ROLE ${owner}; CREATE FUNCTION public.f(v text) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN true; END $$;
       CREATE TABLE public.t (cpf text CHECK (public.f(cpf))); INSERT INTO public.t VALUES ('111.222.333-44');
       CREATE OR REPLACE FUNCTION public.f(v text) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RAISE 'no: "%"', v; END $$;`,
    );
    const backup = await backUp(name, 'streamed', bench.folder);
    await assert.rejects(restore(backup, target, bench.folder), (error: CofreError) => {
      assert.match(error.message, /^TABLE DATA public\.t could not be restored: /);
      assert.doesNotMatch(error.message + String(error.cause), /111\.222/);
      return true;
    });
  });

  test('a load in which nothing moves is ended, and leaves nothing', async () => {
    const { name, target } = await makeSource(
      'parado',
      `SET ROLE ${owner}; CREATE FUNCTION public.f(v int) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN true; END $$;
       CREATE TABLE public.t (v int CHECK (public.f(v))); INSERT INTO public.t VALUES (1);
       CREATE OR REPLACE FUNCTION public.f(v int) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_catalog.pg_sleep(600); RETURN true; END $$;`,
    );
    const backup = await backUp(name, 'streamed', bench.folder);
    const before = await roleList(bench);
    await assert.rejects(
      restore(backup, target, bench.folder, { id: bench.id, stallMs: 2000 }),
      (error: CofreError) => error.code === 'tool-stalled' && error.retryable,
    );
    assert.equal(await roleList(bench), before);
    assert.equal(
      (await sql('postgres', `SELECT FROM pg_database WHERE datname LIKE 'parado ${bench.id}\\_\\_%'`)).length,
      0,
    );
  });

  test('what was loaded with a subscription can be removed again', async () => {
    const { name, target } = await makeSource(
      'assinatura',
      `CREATE SUBSCRIPTION "a ""b" CONNECTION 'dbname=none' PUBLICATION p WITH (connect = false, slot_name = 'a_b')`,
    );
    const backup = await backUp(name, 'streamed', bench.folder);
    await assert.rejects(
      dropDatabase({ admin, name, oid: backup.facts.oid }),
      (error: CofreError) => error.code === 'refused' && error.message.endsWith('subscriptions: "a ""b"'),
    );
    await sql(name, 'ALTER SUBSCRIPTION "a ""b" SET (slot_name = NONE)');
    await sql(name, 'DROP SUBSCRIPTION "a ""b"');
    const { id, replacement } = await restore(backup, { ...target, trusted: true }, bench.folder);
    assert.equal((await sql(replacement.name, 'SELECT FROM pg_subscription')).length, 1);
    await discardLoad(target, { id });
    const left = `SELECT FROM pg_database WHERE datname = ${pg.escapeLiteral(replacement.name)}`;
    assert.deepEqual(await sql('postgres', left), []);
  });

  describe('objects that only a superuser may create', () => {
    let target: RestoreTarget;
    const backups = new Map<string, Backup>();
    const objects = `
      CREATE EXTENSION postgres_fdw SCHEMA public;
      CREATE FUNCTION public.cf(internal) RETURNS int LANGUAGE c AS '$libdir/pg_trgm', 'gtrgm_in';
      CREATE TYPE public.bt; CREATE FUNCTION public.bti(cstring) RETURNS public.bt LANGUAGE internal IMMUTABLE STRICT AS 'int4in';
      CREATE FUNCTION public.bto(public.bt) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int4out';
      CREATE TYPE public.bt (INPUT = public.bti, OUTPUT = public.bto, INTERNALLENGTH = 4, PASSEDBYVALUE, ALIGNMENT = int4);
      CREATE CAST (public.bt AS text) WITH INOUT; COMMENT ON TYPE public.bt IS 'tipo'; COMMENT ON FUNCTION public.cf(internal) IS 'c';
      CREATE TABLE public.com_bt (v public.bt, w text); INSERT INTO public.com_bt VALUES ('7', 'x'); ALTER TABLE public.com_bt OWNER TO dono_;
      CREATE FUNCTION public.et() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
      CREATE EVENT TRIGGER aviso ON ddl_command_end EXECUTE FUNCTION public.et(); COMMENT ON EVENT TRIGGER aviso IS 'e';
      CREATE SERVER fora FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1');
      CREATE USER MAPPING FOR dono_ SERVER fora OPTIONS (user 'u', password 'segredo-fora');
      CREATE FOREIGN TABLE public.longe (a int) SERVER fora; GRANT SELECT ON public.longe TO dono_;
      CREATE PUBLICATION tudo FOR ALL TABLES; CREATE PUBLICATION uma FOR TABLE public.com_bt;`;

    before(async () => {
      const made = await makeSource('privilegios', objects.replaceAll('dono_', owner));
      await sql('postgres', `ALTER DATABASE ${pg.escapeIdentifier(made.name)} SET app.tenant = 'acme'`);
      target = made.target;
      for (const format of ['staged', 'legacy'] as const)
        backups.set(format, await backUp(made.name, format, bench.folder));
    });

    for (const format of ['staged', 'legacy'] as const) {
      test(`${format}: are refused by name where the source is not trusted`, async () => {
        const backup = backups.get(format);
        assert.ok(backup);
        const isRefused = (error: CofreError): boolean => {
          assert.equal(error.code, 'privileged-objects');
          for (const named of [
            'FUNCTION public.cf(internal)',
            'TYPE public.bt',
            'EVENT TRIGGER aviso',
            'SERVER fora',
            'PUBLICATION tudo',
          ]) {
            assert.ok(error.message.includes(named), `${named} in: ${error.message}`);
          }
          assert.doesNotMatch(error.message, /PUBLICATION uma|segredo-fora/);
          assert.match(error.hint ?? '', /trusted: true/);
          return true;
        };
        await assert.rejects(restore(backup, target, bench.folder), isRefused);
        if (format === 'staged') {
          await assert.rejects(
            checkTarget(target, { facts: backup.facts, serverVersionNumber: null, extensions: [] }),
            isRefused,
          );
        }
      });

      test(`${format}: are all there where the source is trusted`, async () => {
        const backup = backups.get(format);
        assert.ok(backup);
        const restored = await restore(backup, { ...target, trusted: true }, bench.folder);
        bench.keep(restored.replacement.name);
        await compareWithManifest(target, restored.replacement, backup.content, backup.facts);
        const [found] = await sql(
          restored.replacement.name,
          `SELECT obj_description('public.bt'::regtype) AS type, (SELECT v::text || w FROM public.com_bt) AS row,
                  (SELECT obj_description(oid) FROM pg_event_trigger WHERE evtname = 'aviso') AS trigger,
                  (SELECT array_agg(pubname::text ORDER BY pubname) FROM pg_publication) AS publications,
                  (SELECT rolsuper FROM pg_roles r JOIN pg_event_trigger t ON t.evtowner = r.oid) AS "super",
                  (SELECT umoptions::text FROM pg_user_mappings) AS mapping`,
        );
        assert.deepEqual(found, {
          ...{ type: 'tipo', row: '7x', trigger: 'e', publications: ['tudo', 'uma'], super: true },
          mapping: '{password=segredo-fora,user=u}',
        });
        if (format === 'legacy') return;
        const [tenant] = await sql(restored.replacement.name, `SELECT current_setting('app.tenant') AS tenant`);
        assert.equal(tenant?.['tenant'], 'acme');
      });
    }
  });
});
