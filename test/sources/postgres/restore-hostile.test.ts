import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import pg from 'pg';

import { Secret } from '../../../config/secret.ts';
import type { CofreError } from '../../../errors/error.ts';
import { compareWithManifest } from '../../../sources/postgres/compare.ts';
import { oldName, type RestoreTarget } from '../../../sources/postgres/restore-target.ts';
import { swapDatabases } from '../../../sources/postgres/swap.ts';
import { admin, backUp, Bench, restore, sql } from './restore-fixture.ts';

/** What runs when a trap is stepped on: it notes who ran it, and tries whatever would give its owner more. */
const strike = (tenant: string, backdoor: string): string => {
  const tries = [
    'RESET ROLE',
    'RESET SESSION AUTHORIZATION',
    `ALTER ROLE ${tenant} SUPERUSER`,
    `ALTER ROLE ${tenant} BYPASSRLS`,
    `CREATE ROLE ${backdoor} SUPERUSER LOGIN`,
    `GRANT pg_execute_server_program TO ${tenant}`,
    `GRANT CURRENT_USER TO ${tenant}`,
    `ALTER SYSTEM SET work_mem = '64kB'`,
    `COPY evil.seen TO PROGRAM 'touch /tmp/${backdoor}'`,
    `ALTER DATABASE :"here" SET search_path = evil`,
    `ALTER DATABASE :"here" IS_TEMPLATE true`,
    `GRANT ALL ON DATABASE :"here" TO ${tenant} WITH GRANT OPTION`,
  ];
  return `
    CREATE TABLE evil.seen (trap text, who text, super boolean);
    CREATE FUNCTION evil.strike(trap text) RETURNS boolean LANGUAGE plpgsql AS $strike$
    DECLARE here text := pg_catalog.quote_ident(pg_catalog.current_database());
    BEGIN
      BEGIN
        INSERT INTO evil.seen SELECT strike.trap, session_user, rolsuper FROM pg_catalog.pg_roles WHERE rolname = session_user;
      EXCEPTION WHEN OTHERS THEN NULL; END;
      ${tries.map((text) => `BEGIN EXECUTE pg_catalog.replace($sql$${text}$sql$, ':"here"', here); EXCEPTION WHEN OTHERS THEN NULL; END;`).join('\n')}
      RETURN true;
    END $strike$;
    -- What must not change anything may not run commands itself, but may call what does.
    CREATE FUNCTION evil.quiet(trap text, v int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.strike(trap); RETURN v; END $$;`;
};

/** One of each kind of object that has code of its own, made by an application's login and no superuser. */
const TRAPS = `
  CREATE DOMAIN evil.dominio AS int CHECK (evil.strike('domain') AND VALUE > 0);
  CREATE TYPE evil.cor AS ENUM ('azul'); CREATE FUNCTION evil.cor_texto(evil.cor) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.strike('cast'); RETURN 'azul'; END $$;
  CREATE CAST (evil.cor AS text) WITH FUNCTION evil.cor_texto(evil.cor) AS IMPLICIT;
  CREATE FUNCTION evil.distancia(int, int) RETURNS float8 IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.strike('range'); RETURN $1 - $2; END $$;
  CREATE TYPE evil.faixa AS RANGE (subtype = int, subtype_diff = evil.distancia);
  CREATE FUNCTION evil.igual(int, int) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.strike('operator'); RETURN $1 OPERATOR(pg_catalog.=) $2; END $$;
  CREATE OPERATOR evil.= (leftarg = int, rightarg = int, function = evil.igual);
  CREATE FUNCTION evil.soma(int, int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.strike('aggregate'); RETURN $1; END $$;
  CREATE AGGREGATE evil.total(int) (sfunc = evil.soma, stype = int, initcond = '0');
  CREATE TABLE public.t (a int DEFAULT evil.quiet('default', 1), d evil.dominio, c evil.cor, f evil.faixa,
    g int GENERATED ALWAYS AS (evil.quiet('generated', a)) STORED, CHECK (evil.strike('check')));
  INSERT INTO public.t VALUES (1, 1, 'azul', '[1,2]'), (2, 2, 'azul', '[3,9]'), (3, 3, 'azul', '[3,9]');
  CREATE INDEX ON public.t (evil.quiet('index', a)); CREATE INDEX ON public.t (a) WHERE evil.quiet('predicate', a) > 1;
  CREATE INDEX ON public.t USING gist (f); CREATE STATISTICS public.st ON (evil.quiet('statistics', a)), d FROM public.t;
  CREATE TABLE public.p (a int) PARTITION BY RANGE (evil.quiet('partition', a));
  CREATE TABLE public.p1 PARTITION OF public.p FOR VALUES FROM (0) TO (9); INSERT INTO public.p VALUES (1);
  CREATE MATERIALIZED VIEW public.m AS SELECT evil.strike('view'), c::text, evil.total(a) OVER (), a OPERATOR(evil.=) 1 AS e FROM public.t;
  CREATE VIEW public.v AS SELECT evil.strike('select'); CREATE RULE r AS ON INSERT TO public.v DO INSTEAD SELECT evil.strike('rule');
  CREATE RULE r AS ON INSERT TO public.t DO ALSO SELECT evil.strike('also');
  CREATE FUNCTION evil.gatilho() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.strike('trigger'); RETURN NEW; END $$;
  CREATE TRIGGER g BEFORE INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION evil.gatilho(); ALTER TABLE public.t ENABLE ALWAYS TRIGGER g;
  ALTER TABLE public.t ENABLE ROW LEVEL SECURITY; ALTER TABLE public.t FORCE ROW LEVEL SECURITY; CREATE POLICY p ON public.t USING (evil.strike('policy'));
  CREATE TABLE public."x; ALTER ROLE TENANT SUPERUSER; --" (a int); COMMENT ON TABLE public.t IS $$'; ALTER ROLE TENANT SUPERUSER; --$$;`;

/** Stand-ins for the system's own, for a session that would look here first. */
const STAND_INS = `
  CREATE VIEW evil.pg_class AS SELECT c.* FROM pg_catalog.pg_class c WHERE evil.strike('pg_class');
  CREATE VIEW evil.pg_namespace AS SELECT n.* FROM pg_catalog.pg_namespace n WHERE evil.strike('pg_namespace');
  CREATE VIEW evil.pg_database AS SELECT d.* FROM pg_catalog.pg_database d WHERE evil.strike('pg_database');`;

/** Stepped on by the load itself, whatever the format: without these the test would prove nothing. */
const RUNS_IN_A_RESTORE = [
  'aggregate',
  'cast',
  'check',
  'domain',
  'generated',
  'index',
  'operator',
  'partition',
  'predicate',
  'range',
  'statistics',
  'view',
];

describe('a restore of a hostile source', () => {
  let bench: Bench;
  let tenant: string;
  let backdoor: string;
  before(async () => {
    bench = await Bench.open();
    [tenant, backdoor] = [bench.role('inquilino'), bench.role('porta')];
    await sql('postgres', `CREATE ROLE ${tenant} LOGIN PASSWORD 'x'`);
  });
  after(() => bench.close());

  async function makeSource(
    name: string,
    text: string,
    asSuperuser = '',
  ): Promise<{ name: string; target: RestoreTarget }> {
    const database = bench.database(name);
    const quoted = pg.escapeIdentifier(database);
    await sql('postgres', `CREATE DATABASE ${quoted} OWNER ${tenant} TEMPLATE template0`);
    await sql(database, text.replaceAll('TENANT', tenant), { user: tenant, password: new Secret('x') });
    if (asSuperuser !== '') await sql(database, asSuperuser);
    // The traps have been stepped on here, too.
    await sql('postgres', `ALTER DATABASE ${quoted} IS_TEMPLATE false`);
    await sql('postgres', `ALTER DATABASE ${quoted} RESET ALL`);
    return { name: database, target: { admin, database, owner: tenant, roles: [], trusted: false } };
  }

  /** Roles with every attribute, and who is a member of what: of this test, and of the server's own. */
  async function everythingOfRoles(): Promise<unknown> {
    const ours = `(rolname IN ('${tenant}', '${backdoor}') OR rolname LIKE 'pg\\_%' OR rolsuper AND rolname <> 'postgres' AND rolname LIKE '%${bench.id}%')`;
    return [
      await sql('postgres', `SELECT a.*, a.oid FROM pg_authid a WHERE ${ours} ORDER BY rolname`),
      await sql(
        'postgres',
        `SELECT roleid::regrole::text AS role FROM pg_auth_members JOIN pg_roles ON oid = member WHERE rolname IN ('${tenant}', '${backdoor}')`,
      ),
      await sql('postgres', `SELECT name, setting FROM pg_file_settings WHERE name = 'work_mem'`),
      await sql('postgres', `SELECT pg_stat_file('/tmp/${backdoor}', true) IS NULL AS untouched`),
    ];
  }

  for (const format of ['staged', 'streamed', 'legacy'] as const) {
    test(`case 92: ${format}: whatever code the source has, it runs as nobody who may do more, and gains nothing`, async () => {
      const { name, target } = await makeSource(
        `hostil ${format}`,
        `CREATE SCHEMA evil; ${strike(tenant, backdoor)} ${TRAPS} ${STAND_INS} DELETE FROM evil.seen`,
      );
      await sql('postgres', `ALTER DATABASE ${pg.escapeIdentifier(name)} SET search_path = evil, pg_catalog, public`);
      const backup = await backUp(name, format, bench.folder);
      const before = await everythingOfRoles();

      const restored = await restore(backup, target, bench.folder);
      const { replacement } = restored;
      bench.keep(replacement.name);
      const [database] = await sql(
        'postgres',
        `SELECT datistemplate AS template, array(SELECT unnest(setconfig) FROM pg_db_role_setting WHERE setdatabase = d.oid) AS settings,
                array(SELECT grantee::regrole::text FROM aclexplode(datacl) WHERE grantee <> datdba) AS grantees
           FROM pg_database d WHERE oid = ${replacement.oid}`,
      );
      const settings = format === 'legacy' ? [] : ['search_path=evil, pg_catalog, public'];
      assert.deepEqual(database, { template: false, settings, grantees: [] }, 'of the source, not of its code');
      // The traps leave traces: that is all that differs.
      await assert.rejects(
        compareWithManifest(target, replacement, backup.content, backup.facts),
        (error: CofreError) =>
          /differs from its backup: rows of evil\.seen: 0 in the backup, \d+ here$/.test(error.message),
      );
      await swapDatabases({
        ...{
          admin,
          live: name,
          liveOid: backup.facts.oid,
          replacement: replacement.name,
          replacementOid: replacement.oid,
        },
        ...{ oldName: bench.keep(oldName(name, restored.id)), owner: target.owner },
        ...{ privileges: backup.facts.privileges, comment: backup.facts.comment },
      });
      assert.deepEqual(await everythingOfRoles(), before);
      const seen = await sql<{ trap: string; who: string; super: boolean }>(
        name,
        'SELECT DISTINCT trap, who, super FROM evil.seen ORDER BY 1',
      );
      assert.deepEqual([...new Set(seen.map(({ trap }) => trap))], RUNS_IN_A_RESTORE);
      assert.ok(
        seen.every((one) => one.who === `cofre_restore_${restored.id}` && !one.super),
        JSON.stringify(seen),
      );
    });
  }

  test('case 92: the traps are real: a superuser who steps on one has given everything away', async () => {
    const { name } = await makeSource('controle', `CREATE SCHEMA evil; ${strike(tenant, backdoor)}`);
    await sql(name, `SELECT evil.strike('control')`);
    await sql('postgres', `ALTER DATABASE ${pg.escapeIdentifier(name)} IS_TEMPLATE false`);
    const gained = await sql(
      'postgres',
      `SELECT rolname FROM pg_roles WHERE rolname IN ('${tenant}', '${backdoor}') AND rolsuper`,
    );
    assert.equal(gained.length, 2);
    await sql(
      'postgres',
      `ALTER ROLE ${tenant} NOSUPERUSER NOBYPASSRLS; REVOKE pg_execute_server_program, postgres FROM ${tenant}; DROP ROLE ${backdoor}`,
    );
    await sql('postgres', 'ALTER SYSTEM RESET work_mem');
    await sql('postgres', `COPY (SELECT 1) TO PROGRAM 'rm -f /tmp/${backdoor}'`);
  });

  for (const format of ['staged', 'legacy'] as const) {
    test(`case 92: ${format}: what a superuser would run later, an event trigger or an operator class, is refused by name`, async () => {
      const { name, target } = await makeSource(
        `poder ${format}`,
        `CREATE SCHEMA evil; ${strike(tenant, backdoor)}
         CREATE FUNCTION evil.gatilho() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.strike('event'); END $$;
         CREATE FUNCTION evil.ordem(int, int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.strike('class'); RETURN $1 - $2; END $$`,
        `CREATE EVENT TRIGGER isca ON ddl_command_end EXECUTE FUNCTION evil.gatilho(); ALTER EVENT TRIGGER isca DISABLE;
         CREATE OPERATOR CLASS evil.classe FOR TYPE int USING btree AS OPERATOR 1 <, OPERATOR 3 =, FUNCTION 1 evil.ordem(int, int)`,
      );
      const backup = await backUp(name, format, bench.folder);
      const before = await everythingOfRoles();
      await assert.rejects(restore(backup, target, bench.folder), (error: CofreError) => {
        assert.equal(error.code, 'privileged-objects');
        assert.match(error.message, /EVENT TRIGGER isca/);
        assert.match(error.message, /OPERATOR CLASS evil\.classe/);
        return true;
      });
      assert.deepEqual(await everythingOfRoles(), before);
    });
  }
});
