import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import type pg from 'pg';

import { Secret } from '../../config/secret.ts';
import { openClient, sqlStateOf, withClient, type PostgresTarget } from '../../postgres/connect.ts';
import type { CofreError } from '../../errors/error.ts';
import { checkSource } from '../../sources/postgres/check-source.ts';
import { isLong } from '../long.ts';
import { MAJORS, startVersion, type Major, type VersionServer } from '../postgres-version.ts';
import { PASSWORD, runDocumented } from './documented-sql.ts';
import { backUp, clientsFor, makeSource, run, type Source } from './round-trip.ts';

/** What somebody with the role's password could want to do; `LO` is one of the application's large objects. */
const WRITES: Readonly<Record<string, string>> = {
  insert: `INSERT INTO app.conta (nome) VALUES ('x')`,
  update: `UPDATE app.conta SET nome = 'x'`,
  delete: 'DELETE FROM app.lancamento',
  truncate: 'TRUNCATE app.lancamento',
  'copy into a table': `COPY app.conta (nome) FROM PROGRAM 'echo x'`,
  'advance a sequence': `SELECT nextval('public.lonely')`,
  'set a sequence': `SELECT setval('public.lonely', 1)`,
  'create a table': 'CREATE TABLE app.minha (a int)',
  'create a table in public': 'CREATE TABLE public.minha (a int)',
  'create a temporary table': 'CREATE TEMPORARY TABLE minha (a int)',
  'create a schema': 'CREATE SCHEMA meu',
  'create a function': `CREATE FUNCTION app.minha() RETURNS int LANGUAGE sql AS 'SELECT 1'`,
  'create an extension': 'CREATE EXTENSION citext',
  'create a role': 'CREATE ROLE meu',
  'create a database': 'CREATE DATABASE minha',
  'alter a table': 'ALTER TABLE app.conta ADD COLUMN x int',
  'drop a table': 'DROP TABLE app.lancamento',
  'alter the database': 'ALTER DATABASE acme SET work_mem = 4000',
  'become a superuser': 'ALTER ROLE cofre_backup SUPERUSER',
  'become the owner': 'SET ROLE acme',
  'become a member of the owner': 'GRANT acme TO cofre_backup',
  'refresh a view': 'REFRESH MATERIALIZED VIEW app.saldo',
  'call a procedure that writes': 'CALL app.escrever()',
  'lock out the application': 'LOCK TABLE app.conta IN ACCESS EXCLUSIVE MODE',
  'end a session': `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'acme'`,
  'change the server': `ALTER SYSTEM SET work_mem = '4MB'`,
  'write a file': `COPY (SELECT 1) TO '/tmp/cofre-must-not-be'`,
  'run a program': `COPY (SELECT 1) TO PROGRAM 'true'`,
  'change a large object': `SELECT lo_put(LO, 0, 'x')`,
  'remove a large object': 'SELECT lo_unlink(LO)',
  'make a large object': 'SELECT lo_create(0)',
};

/** What docs/operations.md says the role can do all the same: as it logs in, and with its read-only setting switched off. */
function documentedExceptions(major: Major): { asItLogsIn: string[]; writable: string[] } {
  const others = major < 18 ? ['change a large object', 'remove a large object'] : [];
  return {
    asItLogsIn: major < 16 ? [...others, 'make a large object'] : [],
    writable: [...(major < 15 ? ['create a table in public'] : []), ...others, 'make a large object'],
  };
}

// pg_read_all_data came with 14; every version at full size.
for (const major of isLong ? MAJORS : ([12, 14, 18] as const)) {
  describe(`the backup role of a PostgreSQL ${major} server, as docs/operations.md makes it`, () => {
    let server: VersionServer;
    let source: Source;
    let role: PostgresTarget;
    let folder: string;
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'cofre-versions-'));
      server = await startVersion(major, { autovacuum: 'off' });
      source = await makeSource(server, {
        extra: `CREATE PROCEDURE app.escrever() LANGUAGE sql AS 'UPDATE app.conta SET nome = nome'; GRANT EXECUTE ON PROCEDURE app.escrever() TO PUBLIC`,
      });
      role = { ...source.target, user: 'cofre_backup', password: new Secret(PASSWORD) };
      // The first block has one line that 12 and 13 do not know, and another block in its place.
      await runDocumented(source.target, 'The backup role** reads', (sql) =>
        major < 14 ? sql.replace(/^GRANT pg_read_all_data.*$/m, '') : sql,
      );
      if (major < 14) await runDocumented(source.target, 'have no `pg_read_all_data`');
    });
    after(async () => {
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    });

    test('lacks only the large objects, and the documented SQL gives them, as the hint of the preflight does', async () => {
      const isNamed = (error: CofreError): boolean => {
        assert.match(error.message, /cannot read all of acme: large object \d+(, large object \d+)* *(and \d+ more)?$/);
        return error.code === 'server-denied';
      };
      await assert.rejects(checkSource(role, { find: clientsFor(major) }), isNamed);
      const words = major >= 18 ? 'In a database that has any, PostgreSQL 18' : 'Before 18 there is no such right';
      await runDocumented(source.target, words);
      await checkSource(role, { find: clientsFor(major) });

      const undo =
        major >= 18
          ? 'REVOKE SELECT ON LARGE OBJECT LO FROM cofre_backup'
          : 'ALTER ROLE cofre_backup IN DATABASE acme RESET ALL';
      await run(source.target, undo.replace('LO', await largeObject()));
      const refusal = await checkSource(role, { find: clientsFor(major) }).catch((error: CofreError) => error.hint);
      assert.equal(typeof refusal, 'string');
      await run(source.target, String(refusal).replace('as a superuser: ', ''));
      await checkSource(role, { find: clientsFor(major) });
    });

    test('reads everything, also what is made later, and a backup writes nothing', async () => {
      const owner = { ...source.target, user: 'acme', password: new Secret('x') };
      await run(
        owner,
        `CREATE TABLE app.depois AS SELECT 1 AS a; CREATE SCHEMA novo; CREATE TABLE novo.t (id serial); SELECT lo_from_bytea(0, 'novo')`,
      );
      const before = await nextTransaction();
      for (const pipeline of ['staged', 'streamed'] as const) {
        const { content } = await backUp(role, major, pipeline, folder);
        const rowsOf = (name: string): number | undefined => content.tables.find((table) => table.name === name)?.rows;
        assert.deepEqual([rowsOf('conta'), rowsOf('depois'), rowsOf('t')], [500, 1, 0]);
        assert.ok(content.largeObjects.count >= 7);
      }
      assert.equal(await nextTransaction(), before, 'no transaction has written anything');
    });

    test('may write nothing but what the documentation names', async () => {
      const { asItLogsIn, writable } = documentedExceptions(major);
      const lo = await largeObject();
      const application = await openClient({ ...source.target, user: 'acme', password: new Secret('x') });
      await withClient(role, async (client) => {
        assert.deepEqual(await done(client, lo), asItLogsIn);
        await client.query('SET default_transaction_read_only = off');
        assert.deepEqual(await done(client, lo), writable);
      });
      await application.end();
    });

    async function largeObject(): Promise<string> {
      return await withClient(source.target, async (client) => {
        const { rows } = await client.query<{ oid: string }>(
          'SELECT min(oid)::text AS oid FROM pg_largeobject_metadata',
        );
        return rows[0]?.oid ?? '';
      });
    }

    async function nextTransaction(): Promise<string | undefined> {
      return await withClient(server.superuser, async (client) => {
        const { rows } = await client.query<{ next: string }>(
          'SELECT txid_snapshot_xmax(txid_current_snapshot())::text AS next',
        );
        return rows[0]?.next;
      });
    }
  });
}

/** Which of the attempts succeed. Each is undone, and must have been refused for its rights or because it may only read. */
async function done(client: pg.Client, largeObject: string): Promise<string[]> {
  const succeeded: string[] = [];
  for (const [what, sql] of Object.entries(WRITES)) {
    const inTransaction = !/^(CREATE DATABASE|ALTER SYSTEM)/.test(sql);
    if (inTransaction) await client.query('BEGIN');
    try {
      await client.query(sql.replace(/\bLO\b/, largeObject));
      succeeded.push(what);
    } catch (error) {
      assert.match(sqlStateOf(error) ?? '', /^(42501|25006)$/, `${what}: ${String(error)}`);
    }
    if (inTransaction) await client.query('ROLLBACK');
  }
  return succeeded;
}
