import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { checkSource } from '../../sources/postgres/check-source.ts';
import { clientFinder } from '../../sources/postgres/clients.ts';
import type { Check } from '../../cli/doctor/check.ts';
import { Installation } from '../acceptance/installation.ts';
import { clientsFolder, startVersion, type VersionServer } from '../postgres-version.ts';
import { PASSWORD, runDocumented } from './documented-sql.ts';
import { run } from './round-trip.ts';

interface RunResult {
  readonly state: string;
  readonly backupId: string;
  readonly error?: { readonly code: string; readonly message: string; readonly hint?: string };
}

/**
 * Of this host's clients, 15 is Debian's; 16 and 18 have known holes and are found where PATH says. The logins are the
 * documented ones, so that a whole backup, restore and ensure are made without a superuser.
 */
describe('the clients of a host, for a PostgreSQL 16 server', () => {
  let server: VersionServer;
  let here: Installation;
  const { PATH } = process.env;
  const usePath = (...folders: string[]): void => {
    process.env['PATH'] = [...folders, PATH].join(':');
  };

  before(async () => {
    server = await startVersion(16);
    const { port } = server.superuser;
    process.env['TEST_ROLE_PASSWORD'] = PASSWORD;
    here = await Installation.create([{ id: 'prod' }], {}, (config) => {
      const login = (user: string): object => ({ user, password: 'env:TEST_ROLE_PASSWORD' });
      const logins = { backup: login('cofre_backup'), admin: login('cofre_admin') };
      config['servers'] = { pg: { host: '127.0.0.1', port, ...logins } };
    });
    await run(server.superuser, `CREATE ROLE "${here.owner('prod')}"`);
    await run(server.superuser, `CREATE DATABASE "${here.database('prod')}" OWNER "${here.owner('prod')}"`);
    // The roles that an operator makes by the documentation, of which none is a superuser.
    const ours = (sql: string): string =>
      sql
        .replace('DATABASE acme', `DATABASE "${here.database('prod')}"`)
        .replace('GRANT acme', `GRANT "${here.owner('prod')}"`);
    await runDocumented(server.superuser, 'The backup role** reads', ours);
    await runDocumented(server.superuser, 'The admin role** restores', ours);
    const source = { ...server.superuser, database: here.database('prod') };
    await run(source, 'CREATE TABLE public.t AS SELECT generate_series(1, 100) AS a');
    await run(source, `ALTER TABLE public.t OWNER TO "${here.owner('prod')}"`);
  });
  after(async () => {
    process.env['PATH'] = PATH;
    await here.remove();
    await server.stop();
  });

  test('case 6: older ones are refused before the dump, naming both versions and what to install', async () => {
    usePath();
    await assert.rejects(checkSource(server.superuser, { find: clientFinder({ unfixed: 'warn' }) }), {
      code: 'tool-version',
      message: /the server is PostgreSQL 16, and this host has only pg_dump .*15\.\d+, which is too old/,
      hint: /install the package postgresql-client-16 on this host, or .* PATH/,
    });
  });

  test('case 7: newer ones are refused before the dump, naming both versions and what to install', async () => {
    usePath(clientsFolder(18));
    await assert.rejects(checkSource(server.superuser, { find: clientFinder({ unfixed: 'warn' }) }), {
      code: 'tool-version',
      message: /the server is PostgreSQL 16, .*18\.4, which is too new: it writes what that server cannot take back/,
      hint: /postgresql-client-16/,
    });
  });

  test('case 8: with known holes they are refused at the start and by the run', async () => {
    usePath(clientsFolder(16));
    let log = '';
    const worker = await here.startWorker({}, (text) => (log += text));
    const refused = await here.json<RunResult>(['backup', 'prod']);
    assert.equal(refused.error?.code, 'tool-version', JSON.stringify(refused));
    assert.match(
      refused.error.message,
      /PostgreSQL 16 server: pg_dump and pg_restore 16\.14 have known holes .*16\.16/,
    );
    assert.match(refused.error.hint ?? '', /upgrade the package postgresql-client-16 .*unfixedClients: warn/);
    assert.match(log, /not used: pg_dump and pg_restore 16\.14 have known holes/);
    const doctor = await here.json<{ checks: Check[] }>(['doctor']);
    assert.ok(doctor.checks.some(({ state, message }) => state === 'fail' && /16\.14 have known holes/.test(message)));
    await here.endWorker(worker, 'SIGTERM');
  });

  test('case 8: where the host allows them they are used, and the log, the backup and the doctor say so', async () => {
    usePath(clientsFolder(16));
    const [host] = Object.values(here.config['hosts'] ?? {}) as Record<string, unknown>[];
    Object.assign(host ?? {}, { unfixedClients: 'warn' });
    await here.writeConfig();
    assert.equal((await here.cofre(['apply', '--yes'])).code, 0);
    let log = '';
    await here.startWorker({}, (text) => (log += text));
    assert.match(log, /16\.14 have known holes .*; unfixedClients allows them/);
    const done = await here.json<RunResult>(['backup', 'prod']);
    assert.equal(done.state, 'complete', JSON.stringify(done));
    const { warnings, manifest } = await here.json<{ warnings: string[]; manifest: { tools: object } }>([
      'show',
      done.backupId,
    ]);
    assert.match(warnings.join(), /16\.14 have known holes/);
    // Case 7 asks for this: which tools made it is known when it is restored.
    assert.equal('pg_dump' in manifest.tools && manifest.tools.pg_dump, '16.14');
    const restored = await here.cofre(['restore', '--from', 'prod', '--latest', '--to', 'prod', '--yes']);
    assert.equal(restored.code, 0, restored.stderr);
    assert.match(restored.stderr, /16\.14 have known holes/);
    await run(server.superuser, `DROP DATABASE "${here.database('prod')}"`);
    const ensured = await here.json<RunResult>(['ensure', 'prod']);
    assert.equal(ensured.state, 'restored', JSON.stringify(ensured));
    const { checks } = await here.json<{ checks: Check[] }>(['doctor']);
    assert.ok(checks.some(({ state, message }) => state === 'warn' && /16\.14 have known holes/.test(message)));
  });
});
