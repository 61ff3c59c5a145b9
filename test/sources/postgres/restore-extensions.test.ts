import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import pg from 'pg';

import { Secret } from '../../../config/secret.ts';
import { compareWithManifest } from '../../../sources/postgres/compare.ts';
import { createDatabase, discardLoad, openToLogin } from '../../../sources/postgres/create-database.ts';
import { withAdminIn, type RestoreTarget } from '../../../sources/postgres/restore-target.ts';
import { createRestoreLogin } from '../../../sources/postgres/roles.ts';
import { admin, backUp, Bench, newId, restore, sql } from './restore-fixture.ts';

describe('extensions in a restore', () => {
  let bench: Bench;
  let owner: string;
  let reader: string;
  before(async () => {
    bench = await Bench.open();
    [owner, reader] = [bench.role('dona'), bench.role('leitora')];
    await sql('postgres', `CREATE ROLE ${owner} LOGIN PASSWORD 'x'; CREATE ROLE ${reader} LOGIN PASSWORD 'x'`);
  });
  after(() => bench.close());

  /** In a schema of a superuser's, in one that the application uses too, and in one that is hard to quote. */
  const source = (): string => `
    CREATE SCHEMA ext; CREATE SCHEMA app AUTHORIZATION ${owner}; CREATE SCHEMA "Minha ""Ext""";
    GRANT USAGE ON SCHEMA ext, app TO ${reader}, ${owner};
    CREATE EXTENSION citext SCHEMA ext; CREATE EXTENSION pg_trgm SCHEMA ext; CREATE EXTENSION hstore SCHEMA app; CREATE EXTENSION btree_gist SCHEMA "Minha ""Ext""";
    COMMENT ON EXTENSION pg_trgm IS 'a nossa busca'; COMMENT ON SCHEMA ext IS 'extensões';
    GRANT USAGE ON SCHEMA "Minha ""Ext""" TO ${owner};
    SET ROLE ${owner};
    CREATE DOMAIN app.email AS ext.citext CHECK (VALUE ~ '@');
    CREATE TABLE app.cliente (id int, email app.email, extra app.hstore DEFAULT 'a=>1'::app.hstore, sala int, quando tsrange,
      parecido real GENERATED ALWAYS AS (ext.similarity('ana', 'ana')) STORED, CHECK (extra OPERATOR(app.?) 'a'),
      EXCLUDE USING gist (sala "Minha ""Ext""".gist_int4_ops WITH =, quando WITH &&));
    INSERT INTO app.cliente SELECT g, 'Ana' || g || '@exemplo.br', 'a=>1', g, '[2026-01-01,2026-01-02)' FROM generate_series(1, 100) g;
    CREATE INDEX ON app.cliente USING gin ((email::text) ext.gin_trgm_ops);
    CREATE FUNCTION app.chaves(h app.hstore) RETURNS text[] LANGUAGE sql AS 'SELECT app.akeys(h)';
    CREATE MATERIALIZED VIEW app.m AS SELECT app.chaves(extra) AS k FROM app.cliente;
    GRANT SELECT ON app.cliente TO ${reader}; RESET ROLE`;

  for (const format of ['staged', 'streamed', 'legacy'] as const) {
    test(`case 81: ${format}: extensions in schemas of their own come back, loaded by a login that is no superuser`, async () => {
      const name = bench.database(`ext ${format}`);
      await sql('postgres', `CREATE DATABASE ${pg.escapeIdentifier(name)} OWNER ${owner} TEMPLATE template0`);
      await sql(name, source());
      const backup = await backUp(name, format, bench.folder);
      const facts = `SELECT extname::text AS name, extversion AS version, extnamespace::regnamespace::text AS schema FROM pg_extension ORDER BY 1`;
      const expected = await sql(name, facts);
      assert.equal(expected.length, 5);

      const target = { admin, database: name, owner, roles: [], trusted: false };
      const { replacement, warnings } = await restore(backup, target, bench.folder);
      bench.keep(replacement.name);
      // Two schemas were a superuser's, and are the environment's owner's now.
      assert.equal(
        warnings.filter((warning) => !/^2 objects that belonged to a superuser/.test(warning)).length,
        0,
        warnings.join(),
      );
      await compareWithManifest(target, replacement, backup.content, backup.facts);
      assert.deepEqual(await sql(replacement.name, facts), expected);
      await sql('postgres', `GRANT CONNECT ON DATABASE ${pg.escapeIdentifier(replacement.name)} TO PUBLIC`);
      const found = `SELECT count(*)::int AS n FROM app.cliente WHERE email OPERATOR(ext.=) 'ANA7@exemplo.br'::ext.citext AND app.chaves(extra) = '{a}'`;
      // A dump of the old jobs has no rights of others.
      for (const user of format === 'legacy' ? [owner] : [owner, reader]) {
        assert.deepEqual(await sql(replacement.name, found, { user, password: new Secret('x') }), [{ n: 1 }]);
      }
    });
  }

  test('the login that restores may fill the configuration tables of extensions', async () => {
    const target: RestoreTarget = { admin, database: bench.database('config'), owner, roles: [], trusted: false };
    const id = newId();
    const login = await createRestoreLogin(admin, id);
    const extensions = [{ name: 'pg_trgm', schema: 'x', version: null }];
    const replacement = await createDatabase(target, { id, login, shape: null, extensions });
    // As the script of an extension would: pg_extension_config_dump may only be called in one.
    await sql(
      replacement.name,
      `CREATE SCHEMA y; CREATE TABLE y.opcoes (chave text); ALTER EXTENSION pg_trgm ADD TABLE y.opcoes;
       UPDATE pg_extension SET extconfig = ARRAY['y.opcoes'::regclass::oid], extcondition = ARRAY[''] WHERE extname = 'pg_trgm'`,
    );
    await withAdminIn(target, replacement, (client) => openToLogin(client, login.user));
    await sql(replacement.name, `INSERT INTO y.opcoes VALUES ('a')`, login);
    assert.deepEqual(await sql(replacement.name, 'SELECT extname::text FROM pg_extension'), [{ extname: 'pg_trgm' }]);
    await discardLoad(target, { id, made: { login, replacement } });
  });
});
