import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';

import pg from 'pg';

import { Secret } from '../../../config/secret.ts';
import { isErrorCode, CofreError } from '../../../errors/error.ts';
import { openClient } from '../../../postgres/connect.ts';
import { checkTarget } from '../../../sources/postgres/check-target.ts';
import { compareWithManifest } from '../../../sources/postgres/compare.ts';
import { createDatabase, discardLoad } from '../../../sources/postgres/create-database.ts';
import { createRestoreLogin } from '../../../sources/postgres/roles.ts';
import { withToolEnvironment } from '../../../sources/postgres/tool-environment.ts';
import { openArchive } from '../../../sources/postgres/open-archive.ts';
import {
  oldName,
  replacementName,
  restoreLoginName,
  type RestoreTarget,
} from '../../../sources/postgres/restore-target.ts';
import { swapDatabases } from '../../../sources/postgres/swap.ts';
import { admin, backUp, Bench, newId, restore, sql } from './restore-fixture.ts';

const run = promisify(execFile);

/** An ERP in small: everything that a dump alone, or a careless restore, would lose. */
const source = (owner: string, reader: string): string => `
  CREATE SCHEMA "Gestão" AUTHORIZATION ${owner}; CREATE SCHEMA ext AUTHORIZATION ${owner}; CREATE SCHEMA "a b" AUTHORIZATION ${owner};
  CREATE EXTENSION citext SCHEMA ext; CREATE EXTENSION pg_trgm SCHEMA ext;
  GRANT USAGE ON SCHEMA ext TO ${reader};
  SET ROLE ${owner};
  CREATE TABLE "Gestão"."Cliente" (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, nome ext.citext NOT NULL, cpf text UNIQUE,
    limite numeric(12,2) CHECK (limite >= 0), nome_maiusculo text GENERATED ALWAYS AS (upper(cpf)) STORED);
  INSERT INTO "Gestão"."Cliente" (nome, cpf, limite) SELECT 'João Conceição ' || g, lpad(g::text, 11, '0'), g FROM generate_series(1, 2000) g;
  CREATE INDEX ON "Gestão"."Cliente" USING gin ((nome::text) ext.gin_trgm_ops);
  CREATE TABLE "a b"."pedido item" (id int, cliente bigint REFERENCES "Gestão"."Cliente", quando date NOT NULL) PARTITION BY RANGE (quando);
  CREATE TABLE "a b".p2025 PARTITION OF "a b"."pedido item" FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
  CREATE TABLE "a b".p2026 PARTITION OF "a b"."pedido item" FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
  INSERT INTO "a b"."pedido item" SELECT g, g, date '2025-06-01' + g FROM generate_series(1, 500) g;
  CREATE MATERIALIZED VIEW "a b".resumo AS SELECT quando, count(*) AS n FROM "a b"."pedido item" GROUP BY 1;
  CREATE FUNCTION "a b".marca() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.nome := NEW.nome || ''; RETURN NEW; END $$;
  CREATE TRIGGER marca BEFORE INSERT ON "Gestão"."Cliente" FOR EACH ROW EXECUTE FUNCTION "a b".marca();
  ALTER TABLE "Gestão"."Cliente" ENABLE ROW LEVEL SECURITY; ALTER TABLE "Gestão"."Cliente" FORCE ROW LEVEL SECURITY;
  CREATE POLICY so_dez ON "Gestão"."Cliente" FOR SELECT TO ${reader} USING (id <= 10);
  GRANT USAGE ON SCHEMA "Gestão" TO ${reader}; GRANT SELECT (id, nome) ON "Gestão"."Cliente" TO ${reader};
  REVOKE EXECUTE ON FUNCTION "a b".marca() FROM PUBLIC;
  ALTER DEFAULT PRIVILEGES IN SCHEMA "a b" GRANT SELECT ON TABLES TO ${reader};
  SELECT lo_from_bytea(0, convert_to(repeat('objeto grande ', 1000), 'UTF8'));
  CREATE SEQUENCE "new
line" START 42; SELECT nextval('"new
line"');
  RESET ROLE;`;

describe('a restore', () => {
  let bench: Bench;
  let target: RestoreTarget;
  let name: string;
  let reader: string;

  before(async () => {
    bench = await Bench.open();
    const owner = bench.role('dono');
    reader = bench.role('leitor');
    await sql('postgres', `CREATE ROLE ${owner} LOGIN PASSWORD 'x'; CREATE ROLE ${reader} LOGIN PASSWORD 'x'`);
    name = bench.database(`Erp "x"=${'ç'.repeat(18)}`);
    assert.ok(Buffer.byteLength(name) <= 63 && Buffer.byteLength(name) > 50);
    const quoted = pg.escapeIdentifier(name);
    await sql(
      'postgres',
      `CREATE DATABASE ${quoted} OWNER ${owner} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'pt-BR' LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'`,
    );
    await sql(name, source(owner, reader));
    await sql(
      'postgres',
      `REVOKE CONNECT ON DATABASE ${quoted} FROM PUBLIC; GRANT CONNECT ON DATABASE ${quoted} TO ${reader};
       COMMENT ON DATABASE ${quoted} IS 'o ERP'; ALTER DATABASE ${quoted} CONNECTION LIMIT 77;
       ALTER DATABASE ${quoted} SET search_path TO "Gestão", "a b", public;
       ALTER DATABASE ${quoted} SET application_name = 'it''s';
       ALTER ROLE ${reader} IN DATABASE ${quoted} SET work_mem = '8MB'`,
    );
    target = { admin, database: name, owner, roles: [], trusted: false };
  });
  after(() => bench.close());

  for (const format of ['staged', 'streamed'] as const) {
    test(`${format}: gives the same database back, and the live one is untouched until the swap`, async () => {
      const backup = await backUp(name, format, bench.folder);
      const report = await checkTarget(target, {
        facts: backup.facts,
        serverVersionNumber: null,
        extensions: backup.facts.extensions,
      });
      assert.equal(report.live?.oid, backup.facts.oid);
      assert.deepEqual(report.roles.toCreate, []);
      assert.deepEqual(report.warnings, []);
      const expected = await schemaText(name);
      const rows = await sql(name, `SELECT md5(string_agg(c::text, '|' ORDER BY id)) AS m FROM "Gestão"."Cliente" c`);
      await sql(name, `CREATE TABLE later_${newId()} (a int)`);

      const phases = new Set<string>();
      const restored = await restore(backup, target, bench.folder, { onPhase: (phase) => phases.add(phase) });
      bench.keep(restored.replacement.name);
      bench.keep(oldName(name, restored.id));
      assert.ok(phases.has('data') && phases.has('rights'), [...phases].join());
      const comparison = await compareWithManifest(target, restored.replacement, backup.content, backup.facts);
      assert.equal(comparison.rows, backup.content.rows);
      assert.equal(comparison.rows >= 2500, true);
      // Neither the application's owner nor anybody else gets in before the swap.
      await assert.rejects(
        sql(restored.replacement.name, 'SELECT 1', { user: target.owner, password: new Secret('x') }),
        /permission denied for database/,
      );
      assert.equal(
        (await sql('postgres', `SELECT FROM pg_roles WHERE rolname = '${restoreLoginName(restored.id)}'`)).length,
        0,
      );
      assert.equal(
        (await sql(name, `SELECT FROM pg_class WHERE relname LIKE 'later\\_%'`)).length >= 1,
        true,
        'the live database is the old one still',
      );

      await swapDatabases({
        ...{ admin, live: name, liveOid: backup.facts.oid, replacement: restored.replacement.name },
        ...{ replacementOid: restored.replacement.oid, oldName: oldName(name, restored.id), owner: target.owner },
        ...{ privileges: backup.facts.privileges, comment: backup.facts.comment },
      });
      assert.equal(await schemaText(name), expected);
      assert.deepEqual(
        await sql(name, `SELECT md5(string_agg(c::text, '|' ORDER BY id)) AS m FROM "Gestão"."Cliente" c`),
        rows,
      );
      const now = (await backUp(name, 'streamed', bench.folder)).facts;
      assert.notEqual(now.oid, backup.facts.oid);
      const plain = (facts: typeof now): unknown => ({
        ...{ ...facts, oid: 0, sizeBytes: 0 },
        privileges: facts.privileges?.map((right) => JSON.stringify(right)).sort(),
      });
      assert.deepEqual(plain(now), plain(backup.facts));
      // Row-level security and rights hold as before: ten rows, two columns.
      const asReader = { user: reader, password: new Secret('x') };
      assert.equal((await sql(name, 'SELECT id, nome FROM "Gestão"."Cliente"', asReader)).length, 10);
      await assert.rejects(sql(name, 'SELECT cpf FROM "Gestão"."Cliente"', asReader), /permission denied/);
    });
  }

  test('legacy: a gzip of a custom-format dump without owners comes back, owned by the environment', async () => {
    const backup = await backUp(name, 'legacy', bench.folder);
    const restored = await restore(backup, { ...target, database: `${name.slice(0, 10)} l` }, bench.folder);
    bench.keep(restored.replacement.name);
    const comparison = await compareWithManifest(restored.target, restored.replacement, null, null);
    assert.equal(comparison.compared, false);
    assert.equal(comparison.rows, backup.content.rows);
    const rows = await sql(
      restored.replacement.name,
      `SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname IN ('Gestão', 'a b')`,
    );
    assert.deepEqual(rows, [{ tableowner: target.owner }]);
  });

  test('a comparison names what differs', async () => {
    const backup = await backUp(name, 'streamed', bench.folder);
    const restored = await restore(backup, target, bench.folder);
    bench.keep(restored.replacement.name);
    await sql(
      restored.replacement.name,
      `DELETE FROM "a b".p2026 WHERE id = 500; DROP INDEX "Gestão"."Cliente_nome_idx"`,
    );
    await assert.rejects(
      compareWithManifest(target, restored.replacement, backup.content, backup.facts),
      (error: CofreError) =>
        error.code === 'comparison-failed' &&
        /rows of a b\.p2026: \d+ in the backup, \d+ here/.test(error.message) &&
        /indexes/.test(error.message),
    );
  });

  test('cancelled in the middle it leaves nothing, and killed in the middle it starts again from zero', async () => {
    const backup = await backUp(name, 'staged', bench.folder);
    const id = newId();
    const abort = new AbortController();
    await assert.rejects(
      restore(backup, target, bench.folder, {
        id,
        signal: abort.signal,
        onPhase: () => abort.abort(new Error('cancelled')),
      }),
      /cancelled/,
    );
    const leftovers = `SELECT datname FROM pg_database WHERE datname LIKE '%${id}%' UNION ALL SELECT rolname FROM pg_roles WHERE rolname LIKE '%${id}%'`;
    assert.deepEqual(await sql('postgres', leftovers), []);

    // An attempt that lives on, frozen for a while, beside its successor: the successor wins, whole.
    const half = bench.keep(replacementName(name, id));
    let isLoading = (): void => undefined;
    const loading = new Promise<void>((resolve) => (isLoading = resolve));
    const first = restore(backup, target, bench.folder, {
      id,
      onPhase: (phase) => {
        if (phase === 'data') isLoading();
      },
    }).catch((error: unknown) => error);
    await loading;
    const second = await restore(backup, target, bench.folder, { id });
    assert.ok((await first) instanceof CofreError);
    assert.equal(second.replacement.name, half);
    const comparison = await compareWithManifest(target, second.replacement, backup.content, backup.facts);
    assert.equal(comparison.rows, backup.content.rows);
    assert.deepEqual(await sql('postgres', `SELECT FROM pg_roles WHERE rolname LIKE '%${id}%'`), []);

    // A kill leaves both behind; the run's last step removes them, any number of times.
    await sql('postgres', `DROP DATABASE ${pg.escapeIdentifier(half)}`);
    const login = await createRestoreLogin(admin, id);
    await createDatabase(target, { id, login, shape: null, extensions: [] });
    await discardLoad(target, { id });
    await discardLoad(target, { id });
    assert.deepEqual(await sql('postgres', leftovers), []);
  });

  test('a database in another encoding keeps it, and a locale that the server lacks is refused beforehand', async () => {
    const latin = bench.database('Latim');
    await sql(
      'postgres',
      `CREATE DATABASE ${pg.escapeIdentifier(latin)} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C' OWNER ${target.owner}`,
    );
    await sql(latin, `CREATE TABLE public.t AS SELECT 'ação'::text AS v`);
    const backup = await backUp(latin, 'staged', bench.folder);
    const restored = await restore(backup, { ...target, database: latin }, bench.folder);
    bench.keep(restored.replacement.name);
    const [row] = await sql(
      restored.replacement.name,
      `SELECT v, current_setting('server_encoding') AS encoding FROM public.t`,
    );
    assert.deepEqual(row, { v: 'ação', encoding: 'LATIN1' });
    for (const missing of [{ collate: 'xx_YY.UTF-8' }, { ctype: 'xx_YY.UTF-8' }]) {
      const facts = { ...backup.facts, ...missing };
      const isRefused = (error: CofreError): boolean =>
        error.code === 'refused' && /has not the locale/.test(error.message);
      await assert.rejects(checkTarget(target, { facts, serverVersionNumber: null, extensions: [] }), isRefused);
    }
    await checkTarget(target, { facts: backup.facts, serverVersionNumber: null, extensions: [] });
  });

  test('a database of that name that no restore made is not dropped', async () => {
    const backup = await backUp(name, 'streamed', bench.folder);
    const id = newId();
    const foreign = bench.keep(replacementName(name, id));
    await sql('postgres', `CREATE DATABASE ${pg.escapeIdentifier(foreign)}`);
    await assert.rejects(
      restore(backup, target, bench.folder, { id }),
      (error: CofreError) => error.code === 'refused',
    );
    assert.equal((await sql(foreign, 'SELECT 1 AS a')).length, 1);
  });

  test('a database whose DROP DATABASE was interrupted is refused before anything is done, with what to do about it', async () => {
    const database = bench.database('meio apagada');
    await sql('postgres', `CREATE DATABASE ${pg.escapeIdentifier(database)}`);
    // As PostgreSQL itself marks it before it begins.
    await sql('postgres', `UPDATE pg_database SET datconnlimit = -2 WHERE datname = ${pg.escapeLiteral(database)}`);
    const invalid = (error: unknown): boolean =>
      error instanceof CofreError &&
      error.code === 'refused' &&
      /is invalid/.test(error.message) &&
      /DROP DATABASE "/.test(error.hint ?? '');
    const nothing = { facts: null, serverVersionNumber: null, extensions: [] };
    await assert.rejects(checkTarget({ ...target, database }, nothing), invalid);
    await assert.rejects(openClient({ ...admin, database }), invalid);
  });

  test('damaged and foreign archives are refused before pg_restore sees them', async () => {
    const bad = async (file: string, format: 'staged' | 'streamed' | 'legacy'): Promise<void> =>
      assert.rejects(
        openArchive({ file, format, directory: join(bench.folder, 'bad'), jobs: 2 }),
        (error: unknown) => error instanceof CofreError && error.code === 'bad-content' && isErrorCode(error.code),
      );
    for (const format of ['staged', 'streamed', 'legacy'] as const) {
      const { file } = await backUp(name, format, bench.folder);
      await truncate(file, (await readFile(file)).length - (format === 'staged' ? 20_000 : 1));
      await bad(file, format);
    }
    const odd = join(bench.folder, 'odd.tar');
    await writeFile(join(bench.folder, 'toc.dat'), 'x');
    await run('ln', ['-sf', '/etc/passwd', join(bench.folder, '1.dat')]);
    await run('tar', ['-cf', odd, '-C', bench.folder, 'toc.dat', '1.dat']);
    await bad(odd, 'staged');
    await run('tar', [
      '-cf',
      odd,
      '-C',
      bench.folder,
      '--transform',
      's,^1.dat,../1.dat,',
      '-h',
      '-P',
      'toc.dat',
      '1.dat',
    ]);
    await bad(odd, 'staged');
    await writeFile(join(bench.folder, 'plain.sql'), '-- PostgreSQL database dump\n');
    await bad(join(bench.folder, 'plain.sql'), 'legacy');
  });

  /** The whole schema as pg_dump writes it, with rights. */
  async function schemaText(database: string): Promise<string> {
    return withToolEnvironment({ ...admin, database }, bench.folder, async (environment) => {
      const env = { ...environment, PATH: process.env['PATH'] };
      const args = ['--schema-only', '--restrict-key=cofre', '--exclude-table=*.later_*'];
      return (await run('pg_dump', args, { env, maxBuffer: 1e8 })).stdout;
    });
  }
});
