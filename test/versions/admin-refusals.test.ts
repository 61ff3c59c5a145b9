import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test, type TestContext } from 'node:test';

import { Secret } from '../../config/secret.ts';
import type { CofreError } from '../../errors/error.ts';
import { openClient, withClient, type PostgresTarget } from '../../postgres/connect.ts';
import { checkTarget } from '../../sources/postgres/check-target.ts';
import { readDatabaseFacts } from '../../sources/postgres/facts.ts';
import { dropDatabase } from '../../sources/postgres/drop-database.ts';
import { refuseSuperusersSessions } from '../../sources/postgres/restore-lacks.ts';
import type { RestoreTarget } from '../../sources/postgres/restore-target.ts';
import { swapDatabases } from '../../sources/postgres/swap.ts';
import { startVersion, type Major, type VersionServer } from '../postgres-version.ts';
import { PASSWORD, runDocumented } from './documented-sql.ts';
import { backUp, restoreOver, run } from './round-trip.ts';

/** Whatever the source holds, it tries to reach the admin's rights with everything that runs its functions. */
const attack = (major: Major): string => `
  CREATE FUNCTION public.f(v int) RETURNS int LANGUAGE plpgsql AS $$ DECLARE c text; BEGIN
    FOREACH c IN ARRAY ARRAY['RESET ROLE', 'SET ROLE cofre_admin', 'SET SESSION AUTHORIZATION cofre_admin', 'SET ROLE acme', 'ALTER ROLE acme CREATEROLE',
      'GRANT cofre_admin TO acme', 'ALTER ROLE cofre_admin PASSWORD ''mine''', 'CREATE ROLE backdoor LOGIN', 'CREATE DATABASE stolen',
      'GRANT pg_execute_server_program TO acme', 'ALTER ROLE CURRENT_USER CREATEROLE', format('GRANT %I TO acme', session_user)] LOOP
      BEGIN EXECUTE c; EXCEPTION WHEN OTHERS THEN NULL; END;
    END LOOP; RETURN v; END $$;
  CREATE FUNCTION public.g(v int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN public.f(v); END $$;
  CREATE TABLE public.t (a int, b int GENERATED ALWAYS AS (public.g(a)) STORED); INSERT INTO public.t VALUES (1), (2);
  ALTER TABLE public.t ADD CHECK (public.f(a) > 0); CREATE INDEX ON public.t (public.g(a));
  CREATE MATERIALIZED VIEW public.m AS SELECT public.f(a) AS a FROM public.t;
  ${major >= 16 ? FORCED : ''}`;

/** From 16 on an admin may let the login of a restore bypass it. */
const FORCED = `
  CREATE TABLE public.forced AS SELECT 1 AS a; ALTER TABLE public.forced ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;`;

for (const major of [12, 15, 16, 18] as const satisfies readonly Major[]) {
  describe(`what takes a superuser on a PostgreSQL ${major} server`, () => {
    let server: VersionServer;
    let admin: PostgresTarget;
    let target: RestoreTarget;
    let folder: string;
    const asSuperuser = (sql: string): Promise<void> => run(server.superuser, sql);
    const inDatabase = (): PostgresTarget => ({ ...server.superuser, database: 'acme' });

    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'cofre-versions-'));
      server = await startVersion(major);
      await asSuperuser(`CREATE ROLE acme LOGIN PASSWORD 'x'; CREATE ROLE outra`);
      await asSuperuser('CREATE DATABASE acme OWNER acme TEMPLATE template0');
      await runDocumented(server.superuser, major >= 16 ? 'The admin role** restores' : 'PostgreSQL 12 to 15:');
      admin = { ...server.superuser, user: 'cofre_admin', password: new Secret(PASSWORD) };
      target = { admin, database: 'acme', owner: 'acme', roles: [], trusted: true };
    });
    after(async () => {
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    });

    /** The preflight of a restore of the database as it is with this in it. */
    async function refusal(t: TestContext, sql: string, undo: string): Promise<CofreError> {
      t.after(() => run(inDatabase(), undo));
      await run(inDatabase(), sql);
      const facts = await withClient(inDatabase(), readDatabaseFacts);
      const backup = { facts, serverVersionNumber: major * 10_000, extensions: facts.extensions };
      return await checkTarget(target, backup).then(
        () => assert.fail('it was not refused'),
        (error: CofreError) => error,
      );
    }

    const cases: readonly (readonly [
      what: string,
      sql: string,
      undo: string,
      named: RegExp,
      from?: Major,
      to?: Major,
    ])[] = [
      [
        'an extension that is not trusted',
        'CREATE EXTENSION postgres_fdw',
        'DROP EXTENSION postgres_fdw',
        /to create the extension postgres_fdw/,
      ],
      [
        'any extension before 13',
        'CREATE EXTENSION pg_trgm',
        'DROP EXTENSION pg_trgm',
        /to create the extension pg_trgm/,
        12,
        12,
      ],
      [
        'what only a superuser may create, though the source is trusted',
        `CREATE FUNCTION public.et() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; CREATE EVENT TRIGGER aviso ON ddl_command_end EXECUTE FUNCTION public.et()`,
        'DROP EVENT TRIGGER aviso; DROP FUNCTION public.et()',
        /to create EVENT TRIGGER aviso, FUNCTION public\.et\(\)/,
      ],
      [
        'row-level security that holds for owners too',
        'CREATE TABLE public.r (a int); ALTER TABLE public.r ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY',
        'DROP TABLE public.r',
        /to bypass row-level security, which holds for its owner in table public\.r/,
        12,
        15,
      ],
      [
        'rights that were granted on',
        `CREATE TABLE public.g (a int); GRANT SELECT ON public.g TO acme WITH GRANT OPTION; SET ROLE acme; GRANT SELECT ON public.g TO outra`,
        'DROP TABLE public.g',
        /to give back rights .* on table public\.g/,
      ],
      [
        'rights on what belongs to the system',
        'REVOKE EXECUTE ON FUNCTION pg_catalog.pg_sleep(double precision) FROM PUBLIC',
        'GRANT EXECUTE ON FUNCTION pg_catalog.pg_sleep(double precision) TO PUBLIC',
        /to give back rights .* on function pg_catalog\.pg_sleep\(double precision\)/,
      ],
      [
        'a table that its owner may not read',
        'CREATE TABLE public.c (a int); ALTER TABLE public.c OWNER TO acme; REVOKE ALL ON public.c FROM acme',
        'DROP TABLE public.c',
        /to count the rows of what its owner may not read, table public\.c/,
      ],
      [
        'a schema public that is not as the server made it',
        'REVOKE CREATE ON SCHEMA public FROM PUBLIC',
        'GRANT CREATE ON SCHEMA public TO PUBLIC',
        /to change the schema public, which belongs to a superuser/,
        12,
        14,
      ],
      [
        'default privileges of a superuser',
        'ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO outra',
        'ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE SELECT ON TABLES FROM outra',
        /to act for postgres, a superuser/,
      ],
      [
        'a role that the admin cannot act for',
        'CREATE TABLE public.o (a int); ALTER TABLE public.o OWNER TO outra',
        'DROP TABLE public.o',
        /to act for the role outra, which owns/,
        16,
      ],
      [
        'a setting of a role that the admin does not administer',
        'ALTER ROLE outra IN DATABASE acme SET work_mem = 4000',
        'ALTER ROLE outra IN DATABASE acme RESET work_mem',
        /to act for the role outra, which gets members or settings/,
        16,
      ],
      [
        'a live database that belongs to a superuser',
        'ALTER DATABASE acme OWNER TO postgres',
        'ALTER DATABASE acme OWNER TO acme',
        /to act for postgres, a superuser, which owns what is replaced/,
      ],
    ];
    for (const [what, sql, undo, named, from = 12, to = 18] of cases) {
      if (major < from || major > to) continue;
      test(`${what}: is refused by name before anything is made`, async (t) => {
        const error = await refusal(t, sql, undo);
        assert.equal(error.code, 'server-denied', error.message);
        assert.match(error.message, named);
        assert.match(error.hint ?? '', /give servers: an admin login with SUPERUSER$/);
      });
    }

    test('what the login lacks is named with the SQL that gives it', async (t) => {
      await asSuperuser(`REVOKE pg_signal_backend FROM cofre_admin; ALTER ROLE cofre_admin NOCREATEDB NOBYPASSRLS`);
      const forced = major >= 16 ? FORCED : 'SELECT 1';
      const error = await refusal(t, forced, 'DROP TABLE IF EXISTS public.forced');
      assert.match(
        error.message,
        /than it may do: to create databases; to end the sessions of others(; to bypass .* table public.forced)?$/,
      );
      const sql = /^as a superuser: (.*;) or give servers: /.exec(error.hint ?? '')?.[1] ?? '';
      assert.match(sql, /^ALTER ROLE "cofre_admin" CREATEDB; GRANT pg_signal_backend TO "cofre_admin";/);
      await asSuperuser(sql);
      const facts = await withClient(inDatabase(), readDatabaseFacts);
      await checkTarget(target, { facts, serverVersionNumber: null, extensions: facts.extensions });
    });

    test('a session of a superuser in the live database is refused by name, and others are not', async () => {
      const application = await openClient({ ...inDatabase(), user: 'acme', password: new Secret('x') });
      await withClient(admin, (client) => refuseSuperusersSessions(client, target));
      await withClient(inDatabase(), async () => {
        await assert.rejects(
          withClient(admin, (client) => refuseSuperusersSessions(client, target)),
          { code: 'server-denied', message: /postgres \(process \d+, cofre\)/, hint: /end those sessions/ },
        );
      });
      await application.end();
    });

    test('a superuser who comes after that is waited for, and nobody else is kept out meanwhile', async (t) => {
      await asSuperuser('GRANT acme TO cofre_admin');
      await run(admin, 'CREATE DATABASE nova TEMPLATE template0');
      const superuser = await openClient(inDatabase());
      t.after(() => superuser.end());
      const swap = {
        ...{
          admin,
          live: 'acme',
          liveOid: await oidOf('acme'),
          replacement: 'nova',
          replacementOid: await oidOf('nova'),
        },
        ...{ oldName: 'velha', owner: 'acme', privileges: null, comment: null },
      };
      await assert.rejects(swapDatabases({ ...swap, timeoutMs: 0 }), {
        code: 'database-locked',
        message: /sessions of superusers keep .* \(postgres \(process \d+, cofre\)\)/,
      });
      const application = await openClient({ ...inDatabase(), user: 'acme', password: new Secret('x') });
      const swapping = swapDatabases(swap);
      await superuser.end();
      assert.deepEqual(await swapping, { alreadyDone: false });
      await application.end().catch(() => undefined);
      await dropDatabase({ admin, name: 'velha', oid: swap.liveOid });
    });

    async function oidOf(database: string): Promise<number> {
      return await withClient(server.superuser, async (client) => {
        const { rows } = await client.query<{ oid: number }>(
          'SELECT oid::int AS oid FROM pg_database WHERE datname = $1',
          [database],
        );
        return rows[0]?.oid ?? 0;
      });
    }

    test('functions in checks, indexes, generated columns and views do not reach the rights of the admin', async () => {
      await run({ ...inDatabase(), user: 'acme', password: new Secret('x') }, attack(major));
      const roles = await everythingOfRoles();
      const backup = await backUp(inDatabase(), major, 'staged', folder);
      await restoreOver(backup, { ...target, trusted: false }, major, folder);
      // But that the admin has become a member of the owner, which it asks for.
      assert.deepEqual(await everythingOfRoles(), roles);
    });

    async function everythingOfRoles(): Promise<unknown[]> {
      return await withClient(server.superuser, async (client) => {
        const { rows } = await client.query<{ of: unknown }>(
          `SELECT to_jsonb(r) - 'oid' AS of FROM pg_roles r
           UNION ALL SELECT jsonb_build_object('role', roleid::regrole, 'member', member::regrole) FROM pg_auth_members
            WHERE NOT (roleid = 'acme'::regrole AND member = 'cofre_admin'::regrole)
           UNION ALL SELECT jsonb_build_object('database', datname) FROM pg_database ORDER BY 1`,
        );
        return rows;
      });
    }
  });
}
