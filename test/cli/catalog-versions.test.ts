import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { appliedVersion, Catalog } from '../../catalog/open.ts';
import { openClient, withClient } from '../../postgres/connect.ts';
import { makeOlderCatalog } from '../catalog/older-catalog.ts';
import { until } from '../until.ts';
import { cofre, RunningCommand } from './command.ts';
import { Installation } from './installation.ts';

/** A backup that an older Cofre has made. */
const ROW = `INSERT INTO cofre.backups (id, environment, kind, mode, state, workflow_id, run_id, config_version, started_at, finished_at)
  VALUES ('20261101T000000Z-00000001', 'acme-prod', 'database', 'full', 'failed', 'w', 'r', 1, now(), now())`;

describe('a catalog of another version of Cofre', () => {
  let here: Installation;
  let older: number;
  const command = (...args: string[]): ReturnType<typeof cofre> => cofre(...args, '--config', here.configPath);
  const versionNow = async (): Promise<number> => {
    const catalog = new Catalog(here.catalog);
    return await appliedVersion(catalog).finally(() => catalog.close());
  };

  before(async () => {
    here = await Installation.create();
    older = await makeOlderCatalog(here.catalog);
    await withClient(here.catalog, (client) => client.query(ROW));
  });
  after(async () => await here.remove());

  test('case 70: an older one is refused by everything but apply, and a worker waits for that', async () => {
    const { code, stdout } = await command('status');
    assert.equal(code, 4);
    assert.match(stdout, new RegExp(`the catalog has version ${older}, this Cofre needs ${older + 1} → cofre apply`));
    const worker = new RunningCommand(['worker', '--host', 'here', '--config', here.configPath]);
    await worker.says(new RegExp(`waiting: the catalog has version ${older}, this Cofre needs ${older + 1}`));
    worker.child.kill('SIGTERM');
    assert.equal(await worker.ended, 0);
  });

  test('case 70: a migration that is killed half-way is not there, no row is lost, and the next apply makes it', async () => {
    // Everything of the migration but its last statement, its own row, gets through.
    const blocker = await openClient(here.catalog);
    await blocker.query('BEGIN; LOCK TABLE cofre.migrations IN SHARE MODE');
    const apply = new RunningCommand(['apply', '--yes', '--config', here.configPath]);
    await until('the migration waits', async () => (await migrating()) === 1);
    apply.child.kill('SIGKILL');
    await apply.ended;
    await blocker.query('ROLLBACK');
    await blocker.end();
    await until('its session has ended', async () => (await migrating()) === 0);
    assert.equal(await versionNow(), older);
    const applied = await command('apply', '--yes');
    assert.equal(applied.code, 0, applied.stderr);
    assert.match(applied.stderr, new RegExp(`bring the catalog from version ${older} to ${older + 1}`));
    assert.equal(await versionNow(), older + 1);
    const { rows } = await withClient(here.catalog, (client) => client.query('SELECT id FROM cofre.backups'));
    assert.deepEqual(rows, [{ id: '20261101T000000Z-00000001' }]);
  });

  test('case 70: a newer one is refused by a worker that has it open already, by apply and by status, and stays as it is', async () => {
    const worker = new RunningCommand(['worker', '--host', 'here', '--config', here.configPath]);
    await worker.says(/takes work for the host here/);
    await withClient(here.catalog, (client) =>
      client.query(
        "INSERT INTO cofre.migrations SELECT max(version) + 1, '0099-future.sql', 'x' FROM cofre.migrations",
      ),
    );
    const backup = await command('backup', 'acme-prod');
    assert.equal(backup.code, 4, backup.stderr);
    assert.match(backup.stderr, /the catalog was written by a newer Cofre[^]*upgrade this Cofre/);
    for (const args of [['apply', '--yes'], ['status']]) {
      const refused = await command(...args);
      assert.equal(refused.code, 4, refused.stderr);
      assert.match(refused.stdout + refused.stderr, /written by a newer Cofre/);
    }
    const { rows } = await withClient(here.catalog, (client) => client.query('SELECT id FROM cofre.backups'));
    assert.equal(rows.length, 1, 'the refused run entered nothing');
    worker.child.kill('SIGTERM');
    assert.equal(await worker.ended, 0);
  });

  async function migrating(): Promise<number> {
    const { rows } = await withClient(here.catalog, (client) =>
      client.query<{ count: number }>(
        `SELECT count(*)::int AS count FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'INSERT INTO cofre.migrations%'`,
      ),
    );
    return rows[0]?.count ?? 0;
  }
});
