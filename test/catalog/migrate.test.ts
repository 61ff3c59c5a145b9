import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';

import { migrateCatalog } from '../../catalog/migrate.ts';
import { openCatalog } from '../../catalog/open.ts';
import { Secret } from '../../config/secret.ts';
import { withClient } from '../../postgres/connect.ts';
import { freshDatabase, type FreshDatabase } from './fresh-catalog.ts';

const TABLES = [
  ...['backups', 'configurations', 'copies', 'hold_confirmations', 'holds', 'manifests', 'migrations', 'namespace'],
  ...['restores', 'servers'],
];

let database: FreshDatabase;
let options: { runtimeUser: string };
beforeEach(async () => {
  database = await freshDatabase();
  options = { runtimeUser: database.runtime.user };
});
afterEach(() => database.drop());

test('migrates an empty database, and then finds nothing to do', async () => {
  const first = await migrateCatalog(database.owner, options);
  assert.equal(first.from, 0);
  assert.ok(first.to >= 1);
  assert.deepEqual(await migrateCatalog(database.owner, options), { from: first.to, to: first.to });
});

test('four at once migrate once', async () => {
  const done = await Promise.all([1, 2, 3, 4].map(() => migrateCatalog(database.owner, options)));
  assert.equal(done.filter(({ from }) => from === 0).length, 1);
});

test('a migration that fails leaves nothing of itself, and the next call goes on', async () => {
  await withClient(database.owner, async (client) => {
    await client.query('CREATE SCHEMA cofre');
    await client.query('CREATE TABLE cofre.servers (in_the_way text)');
  });
  await assert.rejects(migrateCatalog(database.owner, options), /already exists/);
  await withClient(database.owner, async (client) => {
    const { rows } = await client.query<{ backups: unknown }>("SELECT to_regclass('cofre.backups') AS backups");
    assert.equal(rows[0]?.backups, null);
    await client.query('DROP TABLE cofre.servers');
  });
  assert.equal((await migrateCatalog(database.owner, options)).from, 0);
});

test('a catalog of a newer Cofre is refused by migrations and by workers', async () => {
  await migrateCatalog(database.owner, options);
  await withClient(database.owner, (client) =>
    client.query("INSERT INTO cofre.migrations SELECT max(version) + 1, '0099-future.sql', 'x' FROM cofre.migrations"),
  );
  const refusal = { code: 'catalog-version', message: /newer Cofre/, hint: /upgrade/ };
  await assert.rejects(migrateCatalog(database.owner, options), refusal);
  await assert.rejects(openCatalog(database.runtime), refusal);
});

test('an applied migration whose text changed is refused', async () => {
  await migrateCatalog(database.owner, options);
  await withClient(database.owner, (client) =>
    client.query("UPDATE cofre.migrations SET sha256 = repeat('0', 64) WHERE version = 1"),
  );
  await assert.rejects(migrateCatalog(database.owner, options), { code: 'catalog-version', message: /another text/ });
});

test('a database without a catalog is refused with the command that makes one', async () => {
  await assert.rejects(openCatalog(database.runtime), { code: 'catalog-version', hint: 'cofre apply' });
});

test('a runtime role that does not exist is named', async () => {
  await assert.rejects(migrateCatalog(database.owner, { runtimeUser: 'nobody"here' }), {
    code: 'bad-config',
    message: /nobody"here/,
  });
});

test('trouble with the server is retryable and has the code of the catalog', async () => {
  const unavailable = { code: 'catalog-unavailable', retryable: true };
  await assert.rejects(openCatalog({ ...database.runtime, port: 1 }), unavailable);
  await assert.rejects(openCatalog({ ...database.runtime, password: new Secret('wrong') }), unavailable);
  await assert.rejects(openCatalog({ ...database.runtime, database: 'no_such_database' }), unavailable);
  await assert.rejects(migrateCatalog({ ...database.owner, port: 1 }, options), unavailable);
});

test('a catalog whose connections were cut works again with the next call', async () => {
  await migrateCatalog(database.owner, options);
  const catalog = await openCatalog(database.runtime);
  try {
    await assert.rejects(
      catalog.transaction(async (transaction) => {
        await transaction.query('SELECT pg_terminate_backend(pg_backend_pid())');
      }),
      { code: 'catalog-unavailable' },
    );
    assert.deepEqual(await catalog.query('SELECT 1 AS one'), [{ one: 1 }]);
  } finally {
    await catalog.close();
    await catalog.close();
  }
});

test('the runtime role can neither delete, empty, change nor drop', async () => {
  await migrateCatalog(database.owner, options);
  await withClient(database.runtime, async (client) => {
    for (const table of TABLES) {
      for (const statement of [
        `DELETE FROM cofre.${table}`,
        `TRUNCATE cofre.${table} CASCADE`,
        `DROP TABLE cofre.${table} CASCADE`,
        `ALTER TABLE cofre.${table} ADD COLUMN more text`,
      ]) {
        await assert.rejects(client.query(statement), { code: '42501' }, statement);
      }
    }
    await assert.rejects(client.query("UPDATE cofre.migrations SET name = 'x'"), { code: '42501' });
    await assert.rejects(client.query("UPDATE cofre.configurations SET digest = 'x'"), { code: '42501' });
    await assert.rejects(client.query("UPDATE cofre.manifests SET sha256 = 'x'"), { code: '42501' });
    await assert.rejects(client.query("UPDATE cofre.servers SET server = 'x'"), { code: '42501' });
    await assert.rejects(client.query('CREATE TABLE cofre.mine (a int)'), { code: '42501' });
    await assert.rejects(client.query('DROP SCHEMA cofre CASCADE'), { code: '42501' });
  });
});

test('one role for both, as on a single machine, keeps its rights', async () => {
  await migrateCatalog(database.owner, { runtimeUser: database.owner.user });
  await migrateCatalog(database.owner, { runtimeUser: database.owner.user });
  const catalog = await openCatalog(database.owner);
  await catalog.close();
});
