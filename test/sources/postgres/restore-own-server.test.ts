import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, chown, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { promisify } from 'node:util';

import { Secret } from '../../../config/secret.ts';
import type { CofreError } from '../../../errors/error.ts';
import { openClient, withClient, type PostgresTarget } from '../../../postgres/connect.ts';
import { checkTarget } from '../../../sources/postgres/check-target.ts';
import { compareWithManifest } from '../../../sources/postgres/compare.ts';
import { readDatabaseFacts } from '../../../sources/postgres/facts.ts';
import type { RestoreTarget } from '../../../sources/postgres/restore-target.ts';
import { startPostgres } from '../../../tools/embedded-postgres.ts';
import { freePort } from '../../../tools/free-port.ts';
import { serverAccount } from '../../../tools/postgres-cluster.ts';
import { startVersion } from '../../postgres-version.ts';
import { SmallDisk } from '../../small-disk.ts';
import { backUp, Bench, restore, sql } from './restore-fixture.ts';

const run = promisify(execFile);

async function ownServer(t: TestContext): Promise<PostgresTarget> {
  const server = await startVersion(15);
  t.after(() => server.stop());
  return server.superuser;
}

async function ownBench(t: TestContext): Promise<Bench> {
  const bench = await Bench.open();
  t.after(() => rm(bench.folder, { recursive: true, force: true }));
  return bench;
}

const target = (admin: PostgresTarget, database: string): RestoreTarget => ({
  ...{ admin, database, owner: 'dona', roles: [{ name: 'dona', password: new Secret('x') }], trusted: false },
});

/** Databases and roles that a restore would leave. */
const leftOf = (admin: PostgresTarget): Promise<unknown[]> =>
  sql(
    'postgres',
    `SELECT datname AS name FROM pg_database WHERE datname LIKE '%\\_\\_restore\\_%' UNION ALL SELECT rolname FROM pg_roles WHERE rolname LIKE 'cofre\\_restore%'`,
    admin,
  );

describe('a restore to a server of its own', () => {
  for (const [where, freeBytes] of [
    ['while it loads rows', 12_000_000],
    ['while it builds indexes', 24_000_000],
  ] as const) {
    test(`case 87: the disk of the server is full ${where}: it fails, the half-made database is dropped, and the live one works on`, async (t) => {
      const admin = await ownServer(t);
      const bench = await ownBench(t);
      const disk = await SmallDisk.mount('100m');
      t.after(() => disk.unmount());
      const { owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 } } = await serverAccount();
      const place = join(disk.path, 'place');
      await chmod(disk.path, 0o711);
      await mkdir(place, { mode: 0o700 });
      await chown(place, owner.uid, owner.gid);
      await sql('postgres', `CREATE TABLESPACE pequeno LOCATION '${place}'`, admin);
      // Every new database is made where its template is: all but the server's log and its own database are on the small disk.
      await sql('postgres', 'ALTER DATABASE template0 SET TABLESPACE pequeno', admin);
      await sql('postgres', `CREATE ROLE dona LOGIN PASSWORD 'x'`, admin);
      await sql('postgres', 'CREATE DATABASE erp OWNER dona TEMPLATE template0', admin);
      await sql(
        'erp',
        `SET ROLE dona; CREATE TABLE public.venda AS SELECT g AS id, repeat(md5(g::text), 8) AS nota FROM generate_series(1, 60000) g;
         CREATE INDEX ON public.venda (nota)`,
        admin,
      );
      // A database that was just created is full of holes, which a later checkpoint fills.
      await sql('postgres', 'CHECKPOINT', admin);
      const backup = await backUp('erp', 'staged', bench.folder, admin);
      const { stdout } = await run('df', ['--output=avail', '-B1', disk.path]);
      await writeFile(join(disk.path, 'ballast'), Buffer.alloc(Number(stdout.split('\n')[1]) - freeBytes));

      const asApplication = { ...admin, user: 'dona', password: new Secret('x') };
      await assert.rejects(restore(backup, target(admin, 'erp'), bench.folder), (error: CofreError) => {
        assert.equal(error.code, 'no-space', error.message);
        assert.equal(error.retryable, false);
        assert.match(error.message, /^the disk of the database server is full: /);
        return true;
      });
      assert.deepEqual(await leftOf(admin), []);
      await sql('erp', `INSERT INTO public.venda VALUES (0, 'de hoje')`, asApplication);
      assert.deepEqual(await sql('erp', 'SELECT count(*)::int AS n FROM public.venda', asApplication), [{ n: 60_001 }]);

      await rm(join(disk.path, 'ballast'));
      const restored = await restore(backup, target(admin, 'erp'), bench.folder);
      const { rows } = await compareWithManifest(restored.target, restored.replacement, backup.content, backup.facts);
      assert.equal(rows, 60_000);
    });
  }

  test('case 83: a template1 that has objects and open sessions does not matter', async (t) => {
    const admin = await ownServer(t);
    const bench = await ownBench(t);
    await sql('postgres', `CREATE ROLE dona LOGIN PASSWORD 'x'; CREATE ROLE qualquer`, admin);
    await sql('postgres', 'CREATE DATABASE erp OWNER dona TEMPLATE template0', admin);
    await sql('erp', `SET ROLE dona; CREATE TABLE public.t AS SELECT 1 AS a`, admin);
    const backup = await backUp('erp', 'staged', bench.folder, admin);
    await sql(
      'template1',
      `CREATE TABLE public.lixo (a int); INSERT INTO public.lixo VALUES (1); CREATE EXTENSION hstore; CREATE SCHEMA app;
       CREATE FUNCTION public.t() RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO qualquer`,
      admin,
    );
    const sessions = [
      await openClient({ ...admin, database: 'template1' }),
      await openClient({ ...admin, database: 'template1' }),
    ];
    await sessions[0]?.query('BEGIN; LOCK TABLE public.lixo');
    try {
      const report = await checkTarget(target(admin, 'erp'), {
        facts: backup.facts,
        serverVersionNumber: null,
        extensions: backup.facts.extensions,
      });
      assert.deepEqual(report.warnings, []);
      const { replacement } = await restore(backup, target(admin, 'erp'), bench.folder);
      await compareWithManifest(target(admin, 'erp'), replacement, backup.content, backup.facts);
      const found = await sql(
        replacement.name,
        `SELECT (SELECT string_agg(relname, ',') FROM pg_class WHERE oid >= 16384) AS tables, (SELECT string_agg(extname, ',') FROM pg_extension) AS extensions,
                (SELECT count(*)::int FROM pg_default_acl) AS defaults`,
        admin,
      );
      assert.deepEqual(found, [{ tables: 't', extensions: 'plpgsql', defaults: 0 }]);
    } finally {
      for (const session of sessions) await session.end();
    }
  });

  /** A server that finds the locales of this folder, and but those the C library has built in. */
  async function serverWithLocales(t: TestContext, folder: string): Promise<PostgresTarget> {
    const programs = join(folder, 'programs');
    await mkdir(programs);
    const installed = '/usr/lib/postgresql/15/bin';
    await writeFile(join(programs, 'postgres'), `#!/bin/sh\nLOCPATH=${folder} exec ${installed}/postgres "$@"\n`, {
      mode: 0o755,
    });
    await writeFile(join(programs, 'initdb'), `#!/bin/sh\nexec ${installed}/initdb "$@"\n`, { mode: 0o755 });
    const port = await freePort();
    const server = await startPostgres({
      folder: join(folder, 'server'),
      port,
      password: 'x',
      programs,
      settings: { fsync: 'off' },
    });
    t.after(() => server.stop());
    return { host: '127.0.0.1', port, tls: 'off', user: 'postgres', password: new Secret('x'), database: 'postgres' };
  }

  test('case 82: a locale that the server lacks is refused before anything is made; an ICU locale comes back', async (t) => {
    const bench = await ownBench(t);
    const folders = [await mkdtemp(join(tmpdir(), 'cofre-locale-')), await mkdtemp(join(tmpdir(), 'cofre-locale-'))];
    t.after(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))));
    for (const folder of folders) await chmod(folder, 0o711);
    const [withIt = '', without = ''] = folders;
    await run('localedef', ['-i', 'pt_BR', '-f', 'UTF-8', join(withIt, 'pt_BR.UTF-8')]);
    const [source, lacking] = [await serverWithLocales(t, withIt), await serverWithLocales(t, without)];

    await sql('postgres', `CREATE DATABASE erp TEMPLATE template0 LOCALE 'pt_BR.UTF-8'`, source);
    const facts = await withClient({ ...source, database: 'erp' }, readDatabaseFacts);
    assert.equal(facts.collate, 'pt_BR.UTF-8');
    await assert.rejects(
      checkTarget(target(lacking, 'erp'), { facts, serverVersionNumber: null, extensions: facts.extensions }),
      (error: CofreError) =>
        error.code === 'refused' &&
        /^the server has not the locale of the backup \(libc, pt_BR\.UTF-8\): /.test(error.message) &&
        /install the locale on the server/.test(error.hint ?? ''),
    );
    assert.deepEqual(await leftOf(lacking), []);

    const strict = await startVersion(16, { icu_validation_level: 'error' });
    t.after(() => strict.stop());
    const ofIcu = { ...facts, collate: 'C', ctype: 'C', localeProvider: 'icu', icuLocale: 'zz-ZZ' } as const;
    await assert.rejects(
      checkTarget(target(strict.superuser, 'erp'), { facts: ofIcu, serverVersionNumber: null, extensions: [] }),
      (error: CofreError) =>
        error.code === 'refused' && /not the locale of the backup \(icu, zz-ZZ\): .*unknown/.test(error.message),
    );
    assert.deepEqual(await leftOf(strict.superuser), []);

    const shape = `TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'pt-BR' LOCALE 'C.UTF-8'`;
    await sql('postgres', `CREATE DATABASE sabor ${shape}`, source);
    await sql(
      'sabor',
      `CREATE TABLE public.t (v text); INSERT INTO public.t VALUES ('maca'), ('maçã'), ('Maçã'), ('mada'), ('Abacate')`,
      source,
    );
    const backup = await backUp('sabor', 'streamed', bench.folder, source);
    const { replacement } = await restore(backup, target(lacking, 'sabor'), bench.folder);
    const sorted = `SELECT array_agg(v ORDER BY v) AS v, (SELECT daticulocale FROM pg_database WHERE datname = current_database()) AS locale FROM public.t`;
    const expected = await sql('sabor', sorted, source);
    assert.deepEqual(expected, [{ v: ['Abacate', 'maca', 'maçã', 'Maçã', 'mada'], locale: 'pt-BR' }]);
    assert.deepEqual(await sql(replacement.name, sorted, lacking), expected);
  });
});
