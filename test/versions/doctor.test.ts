import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { examineServers } from '../../cli/doctor/servers.ts';
import type { Check } from '../../cli/doctor/check.ts';
import { configSchema, type Config } from '../../config/schema.ts';
import { startVersion, type VersionServer } from '../postgres-version.ts';
import { PASSWORD, runDocumented } from './documented-sql.ts';
import { run } from './round-trip.ts';

let server: VersionServer;
let config: Config;

before(async () => {
  server = await startVersion(16);
  await run(server.superuser, `CREATE ROLE acme LOGIN PASSWORD 'x'`);
  await run(server.superuser, 'CREATE DATABASE acme OWNER acme');
  await runDocumented(server.superuser, 'The backup role** reads');
  await run(server.superuser, `CREATE ROLE cofre_admin LOGIN PASSWORD '${PASSWORD}' CREATEROLE`);
  process.env['TEST_ROLE_PASSWORD'] = PASSWORD;
  const password = 'env:TEST_ROLE_PASSWORD';
  const { host, port } = server.superuser;
  config = configSchema.parse({
    catalog: { host, database: 'none', user: 'none', password },
    hosts: {},
    destinations: {},
    policies: {},
    servers: {
      pg: { host, port, backup: { user: 'cofre_backup', password }, admin: { user: 'cofre_admin', password } },
    },
    environments: {
      acme: {
        stage: 'production',
        customer: 'acme',
        policy: 'none',
        database: { server: 'pg', name: 'acme', owner: 'acme' },
      },
    },
  });
});
after(() => server.stop());

async function examine(): Promise<Check[]> {
  const checks = await examineServers(config, undefined);
  // There are no clients without holes for this server here.
  return checks.filter(({ message }) => !/pg_dump/.test(message));
}

/** Does what the hints of the failed checks say, as an operator would. */
async function mend(checks: readonly Check[]): Promise<void> {
  for (const { state, hint } of checks) {
    const sql = /^as a superuser: (.*;)/.exec(hint ?? '')?.[1];
    if (state === 'fail' && sql !== undefined) await run(server.superuser, sql);
  }
}

test('the doctor names what the admin lacks for every restore and for each environment, and its SQL mends it', async () => {
  const before = await examine();
  const failed = before.filter(({ state }) => state === 'fail').map(({ area, message }) => `${area}: ${message}`);
  assert.deepEqual(failed, [
    'server pg: the admin login cofre_admin lacks what every restore needs: to create databases',
    'server pg: the admin login cofre_admin lacks what every restore needs: to end the sessions of others',
    'environment acme: a restore is refused: the admin login cofre_admin is no superuser, and this restore needs more than it may do: to create databases; to end the sessions of others; to act for the role acme, which owns what is replaced or restored',
  ]);
  await mend(before);
  const after = await examine();
  assert.deepEqual(
    after.filter(({ state }) => state !== 'ok'),
    [],
  );
  const said = after.map(({ message }) => message).join('\n');
  assert.match(said, /the admin login cofre_admin, no superuser, may create databases and roles and end sessions/);
  assert.match(said, /cofre_admin may restore acme as it is now/);
});

test('what only a superuser could restore is said while the database is still there', async (t) => {
  const database = { ...server.superuser, database: 'acme' };
  t.after(() => run(database, 'DROP EXTENSION postgres_fdw'));
  await run(database, 'CREATE EXTENSION postgres_fdw');
  const [refused] = (await examine()).filter(({ state }) => state === 'fail');
  assert.match(refused?.message ?? '', /^a restore is refused: .*: to create the extension postgres_fdw$/);
  assert.equal(refused?.hint, 'give servers: an admin login with SUPERUSER');
});

test('so is what is refused because the source is not trusted: it is no warning, for every restore would fail', async (t) => {
  t.after(() => run(server.superuser, 'ALTER DATABASE acme RESET log_min_messages'));
  await run(server.superuser, `ALTER DATABASE acme SET log_min_messages = 'error'`);
  const [refused] = (await examine()).filter(({ message }) => /refused/.test(message));
  assert.equal(refused?.state, 'fail');
  assert.match(refused?.message ?? '', /^a restore is refused: only a superuser .* holds: SETTING log_min_messages$/);
  assert.match(refused?.hint ?? '', /`trusted: true` .*; the admin login of the server must then be a superuser$/);
});
