import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import pg from 'pg';

import { Secret } from '../../../config/secret.ts';
import type { CofreError } from '../../../errors/error.ts';
import { openClient } from '../../../postgres/connect.ts';
import { checkTarget } from '../../../sources/postgres/check-target.ts';
import { compareWithManifest } from '../../../sources/postgres/compare.ts';
import type { RestoreTarget } from '../../../sources/postgres/restore-target.ts';
import { admin, backUp, Bench, restore, sql } from './restore-fixture.ts';

describe('who owns what after a restore', () => {
  let bench: Bench;
  let owner: string;
  let second: string;
  before(async () => {
    bench = await Bench.open();
    owner = bench.role('dono');
    second = bench.role('Segunda App');
    const roles = [owner, second].map((name) => `CREATE ROLE ${pg.escapeIdentifier(name)} LOGIN PASSWORD 'x';`);
    await sql('postgres', roles.join(''));
  });
  after(() => bench.close());

  async function makeSource(name: string, text: string): Promise<{ name: string; target: RestoreTarget }> {
    const database = bench.database(name);
    await sql('postgres', `CREATE DATABASE ${pg.escapeIdentifier(database)} OWNER ${owner} TEMPLATE template0`);
    await sql(database, text.replaceAll('SECOND', pg.escapeIdentifier(second)).replaceAll('FIRST', owner));
    return { name: database, target: { admin, database, owner, roles: [], trusted: false } };
  }

  /** Every kind of object that somebody owns, one with a name that is hard to quote. */
  const kinds = `
    CREATE SCHEMA app AUTHORIZATION SECOND; CREATE SCHEMA "DATA" AUTHORIZATION SECOND; GRANT CREATE ON SCHEMA public TO SECOND;
    GRANT CREATE ON DATABASE ":db" TO SECOND; SET ROLE SECOND;
    CREATE TABLE app."a ""b""; c" (id serial, g int GENERATED ALWAYS AS IDENTITY, v int) PARTITION BY RANGE (v);
    CREATE TABLE app.part PARTITION OF app."a ""b""; c" FOR VALUES FROM (0) TO (10); INSERT INTO app."a ""b""; c" (v) VALUES (1);
    CREATE TABLE "DATA".t AS SELECT 1 AS a; CREATE TABLE public.misto (a int, b int); CREATE STATISTICS app.st ON a, b FROM public.misto;
    CREATE VIEW app.v AS SELECT 1 AS a; CREATE MATERIALIZED VIEW app.m AS SELECT 1 AS a; CREATE SEQUENCE app.s;
    CREATE TYPE app.e AS ENUM ('a'); CREATE TYPE app.c AS (a int); CREATE DOMAIN app.d AS int; CREATE TYPE app.r AS RANGE (subtype = int);
    CREATE FUNCTION app.f(a int, VARIADIC b text[]) RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
    CREATE PROCEDURE app.p() LANGUAGE sql AS 'SELECT 1'; CREATE FUNCTION app.plus(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + $2';
    CREATE AGGREGATE app.soma(int) (sfunc = app.plus, stype = int); CREATE AGGREGATE app.conta(*) (sfunc = int8inc, stype = int8, initcond = '0');
    CREATE OPERATOR app.+@ (leftarg = int, rightarg = int, function = app.plus);
    CREATE OPERATOR app.!! (rightarg = int, function = int4abs);
    CREATE COLLATION app.col (locale = 'C'); CREATE CONVERSION app.con FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
    CREATE TEXT SEARCH CONFIGURATION app.tc (copy = simple); CREATE TEXT SEARCH DICTIONARY app.td (template = simple);
    SELECT lo_from_bytea(0, '\\x01'); CREATE PUBLICATION pub FOR TABLE public.misto;
    RESET ROLE; SET ROLE FIRST; CREATE TABLE public.do_dono (a int); RESET ROLE;`;

  for (const format of ['staged', 'streamed'] as const) {
    test(`${format}: a second application keeps everything it owned, and can work with it`, async () => {
      const name = `donos ${format}`;
      const source = await makeSource(name, kinds.replace(':db', `${name} ${bench.id}`));
      const backup = await backUp(source.name, format, bench.folder);
      assert.ok((backup.facts.owners ?? []).length >= 25);
      const restored = await restore(backup, source.target, bench.folder);
      bench.keep(restored.replacement.name);
      assert.deepEqual(restored.warnings, []);
      await compareWithManifest(source.target, restored.replacement, backup.content, backup.facts);
      // The admin owns the new database until the swap, so what the owner of the old one has is named here too.
      const now = (await backUp(restored.replacement.name, format, bench.folder)).facts.owners ?? [];
      assert.deepEqual(
        now.filter((object) => object.owner !== owner),
        backup.facts.owners,
      );
      await sql('postgres', `GRANT CONNECT ON DATABASE "${restored.replacement.name}" TO "${second}"`);
      const asSecond = { user: second, password: new Secret('x') };
      await sql(restored.replacement.name, `CREATE TABLE app.nova (a int); DROP TABLE "DATA".t`, asSecond);
      await assert.rejects(sql(restored.replacement.name, 'DROP TABLE public.do_dono', asSecond), /must be owner/);
    });
  }

  const superusers = `
    CREATE SCHEMA da_casa; CREATE FUNCTION da_casa.poder() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT current_user::text';
    CREATE TYPE da_casa.tipo AS ENUM ('a'); CREATE TABLE da_casa.t (a int);`;

  test('what a superuser owned goes to the owner of the environment, and is told', async () => {
    const { name, target } = await makeSource('super', superusers);
    const restored = await restore(await backUp(name, 'streamed', bench.folder), target, bench.folder);
    bench.keep(restored.replacement.name);
    assert.equal(restored.warnings.length, 1);
    assert.match(
      restored.warnings[0] ?? '',
      /^4 objects that belonged to a superuser now belong to dono_\w+: .*da_casa\.poder\(\)/,
    );
    assert.deepEqual(await sql(restored.replacement.name, 'SELECT da_casa.poder() AS p'), [{ p: owner }]);
  });

  test('of a trusted source, its routines and types stay with the admin, and so do functions of event triggers', async () => {
    const { name, target } = await makeSource(
      'confiado',
      `${superusers} CREATE FUNCTION public.et() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; ALTER FUNCTION public.et() OWNER TO FIRST;
       CREATE EVENT TRIGGER aviso ON ddl_command_end EXECUTE FUNCTION public.et()`,
    );
    for (const format of ['staged', 'legacy'] as const) {
      const backup = await backUp(name, format, bench.folder);
      const restored = await restore(backup, { ...target, trusted: true }, bench.folder);
      bench.keep(restored.replacement.name);
      const rows = await sql(
        restored.replacement.name,
        `SELECT proname || ' ' || rolsuper AS f FROM pg_proc p JOIN pg_roles r ON r.oid = proowner WHERE proname IN ('poder', 'et')
         UNION SELECT typname || ' ' || rolsuper FROM pg_type JOIN pg_roles r ON r.oid = typowner WHERE typname = 'tipo' ORDER BY 1`,
      );
      const known = format === 'staged' ? 'true' : 'false';
      assert.deepEqual(
        rows.map(({ f }) => f),
        ['et true', `poder ${known}`, `tipo ${known}`],
      );
    }
  });

  test('a manifest that was tampered with gives nothing to a superuser, and its names are no SQL', async () => {
    const { name, target } = await makeSource('torto', `SET ROLE FIRST; CREATE TABLE public.t (a int)`);
    const backup = await backUp(name, 'streamed', bench.folder);
    const owners = [
      { type: 'table', identity: 'public.t', owner: 'pg_execute_server_program' },
      { type: 'table', identity: `public.t OWNER TO ${second}; DROP TABLE public.t; --`, owner: second },
      { type: 'table public.t OWNER TO postgres --', identity: 'public.t', owner: second },
    ];
    const roles = [...backup.facts.roles, ...backup.facts.roles.slice(0, 1).map((role) => ({ ...role, name: second }))];
    const facts = {
      ...backup.facts,
      owners,
      roles: [
        ...roles,
        ...roles.slice(0, 1).map((role) => ({ ...role, superuser: false, name: 'pg_execute_server_program' })),
      ],
    };
    const restored = await restore({ ...backup, facts }, target, bench.folder);
    bench.keep(restored.replacement.name);
    assert.match(restored.warnings.join(), /^3 objects could not be given back/);
    assert.deepEqual(
      await sql(restored.replacement.name, `SELECT relowner::regrole::text AS o FROM pg_class WHERE relname = 't'`),
      [{ o: owner }],
    );
  });

  test('restores at the same time on one host keep their lists apart', async () => {
    const scratch = await mkdtemp(join(tmpdir(), 'cofre-shared-'));
    const backups = await Promise.all(
      [3, 25, 50].map(async (tables) => {
        const made = Array.from(
          { length: tables },
          (_, n) => `CREATE TABLE public.t${n} (a int); GRANT SELECT ON public.t${n} TO SECOND;`,
        );
        const source = await makeSource(`junto ${tables}`, `SET ROLE FIRST; ${made.join('')}`);
        return { tables, source, backup: await backUp(source.name, 'staged', bench.folder) };
      }),
    );
    const counts = await Promise.all(
      backups.map(async ({ source, backup }) => {
        const restored = await restore(backup, source.target, bench.folder, { shared: scratch });
        bench.keep(restored.replacement.name);
        const rows = await sql(
          restored.replacement.name,
          `SELECT FROM information_schema.role_table_grants WHERE grantee = '${second}'`,
        );
        return rows.length;
      }),
    );
    assert.deepEqual(counts, [3, 25, 50]);
    assert.deepEqual(await readdir(scratch), []);
    await rm(scratch, { recursive: true });
  });

  test('comments on extensions come back, and a table in a tablespace that is not there', async () => {
    const { name, target } = await makeSource(
      'resto',
      `CREATE EXTENSION pg_trgm; COMMENT ON EXTENSION pg_trgm IS 'nossa busca'`,
    );
    const place = `espaco_${bench.id}`;
    const client = await openClient(admin);
    await client.query('SET allow_in_place_tablespaces = on');
    await client.query(`CREATE TABLESPACE ${place} LOCATION ''`);
    await client.end();
    await sql(
      name,
      `CREATE TABLE public.longe (a int) TABLESPACE ${place}; ALTER TABLE public.longe OWNER TO ${owner}`,
    );
    const backup = await backUp(name, 'staged', bench.folder);
    await sql(name, 'ALTER TABLE public.longe SET TABLESPACE pg_default');
    await sql('postgres', `DROP TABLESPACE ${place}`);
    const restored = await restore(backup, target, bench.folder);
    bench.keep(restored.replacement.name);
    assert.deepEqual(
      await sql(
        restored.replacement.name,
        `SELECT obj_description(oid) AS c, (SELECT count(*)::int FROM pg_tables WHERE tablename = 'longe') AS n FROM pg_extension WHERE extname = 'pg_trgm'`,
      ),
      [{ c: 'nossa busca', n: 1 }],
    );
  });

  for (const format of ['staged', 'legacy'] as const) {
    test(`${format}: a cast between types of the system is refused by name, and restored where the source is trusted`, async () => {
      const { name, target } = await makeSource(
        `cast ${format}`,
        `CREATE CAST (integer AS bytea) WITH INOUT; SET ROLE FIRST; CREATE TYPE public.cor AS ENUM ('azul');
         CREATE CAST (public.cor AS integer) WITH INOUT`,
      );
      const backup = await backUp(name, format, bench.folder);
      await assert.rejects(restore(backup, target, bench.folder), (error: CofreError) => {
        assert.match(error.message, /CAST CAST \(integer AS bytea\)$/);
        return error.code === 'privileged-objects';
      });
      const restored = await restore(backup, { ...target, trusted: true }, bench.folder);
      bench.keep(restored.replacement.name);
      assert.equal((await sql(restored.replacement.name, 'SELECT FROM pg_cast WHERE oid >= 16384')).length, 2);
    });
  }

  test('a role that a restore would make with less than it had is named', async () => {
    const { name, target } = await makeSource('papeis', 'SELECT 1');
    const { facts } = await backUp(name, 'streamed', bench.folder);
    const [some] = facts.roles;
    assert.ok(some);
    const gone = { ...some, name: `sumiu_${bench.id}`, superuser: false, login: true, createDatabase: true };
    const backup = { facts: { ...facts, roles: [...facts.roles, gone] }, serverVersionNumber: null, extensions: [] };
    const { warnings } = await checkTarget(target, backup);
    assert.match(warnings.join('\n'), /sumiu_\w+ is created without login: .*roles:.*\n.*without CREATEDB/);
    const roles = [{ name: gone.name, password: new Secret('x') }];
    assert.equal((await checkTarget({ ...target, roles }, backup)).warnings.length, 1);
  });
});
