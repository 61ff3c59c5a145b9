import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { withClient } from '../../postgres/connect.ts';
import { startPostgres } from '../../tools/embedded-postgres.ts';
import { freePort } from '../../tools/free-port.ts';
import type { RunningServer } from '../../tools/running-server.ts';
import { FaultProxy } from '../fault-proxy.ts';
import { testServers } from '../servers.ts';
import { Installation } from './installation.ts';

interface RunResult {
  state: string;
  backupId: string;
  error?: { code: string; message: string; hint?: string };
}

describe('an address that leads to another server than before', () => {
  let installation: Installation;
  let address: FaultProxy;
  let other: RunningServer;
  let folder: string;

  before(async () => {
    const { postgres } = testServers();
    folder = await mkdtemp(join(tmpdir(), 'cofre-failover-'));
    address = await FaultProxy.start(postgres);
    // With the same logins, as after a failover: only the system identifier tells.
    const { password } = postgres;
    other = await startPostgres({ folder, port: await freePort(), password, settings: { fsync: 'off' } });
    installation = await Installation.create([{ id: 'moved' }], {}, (config) => {
      const { servers } = config as Record<string, Record<string, Record<string, unknown>>>;
      servers!['pg'] = { ...servers!['pg'], port: address.port };
    });
    const rows = (count: number): string => `CREATE TABLE public.t AS SELECT generate_series(1, ${count}) AS id`;
    await installation.createEnvironmentDatabase('moved', rows(9));
    const there = { ...installation.admin, port: other.port };
    const name = installation.database('moved');
    await withClient(there, (client) => client.query(`CREATE DATABASE "${name}"`));
    await withClient({ ...there, database: name }, (client) => client.query(rows(5)));
    await installation.startWorker();
  });

  after(async () => {
    await installation.remove();
    await address.stop();
    await other.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const backUp = async (): Promise<RunResult> => await installation.json<RunResult>(['backup', 'moved']);

  it('case 16: is not backed up as if it were the same, until somebody says that it moved', async () => {
    const before = await backUp();
    assert.equal(before.state, 'complete', JSON.stringify(before));
    address.redirect({ host: '127.0.0.1', port: other.port });

    const { error } = await backUp();
    assert.equal(error?.code, 'server-changed', JSON.stringify(error));
    assert.match(
      error.message,
      /is not the server on which moved was last seen \(system identifier \d+, recorded \d+\)/,
    );
    assert.match(error.hint ?? '', /cofre accept moved/);
    assert.deepEqual(
      (await readdir(join(installation.backups, 'moved'))).filter((name) => name !== before.backupId),
      [],
    );
    assert.deepEqual(await readdir(join(installation.spool, 'moved')), []);
    // The address leads back, and nothing has to be mended.
    address.redirect(testServers().postgres);
    assert.equal((await backUp()).state, 'complete');

    address.redirect({ host: '127.0.0.1', port: other.port });
    assert.equal((await installation.cofre(['accept', 'moved'], 'no\n')).code, 2);
    assert.equal((await backUp()).error?.code, 'server-changed', 'nobody said yes');
    assert.equal((await installation.cofre(['accept', 'moved', '--yes'])).code, 0);
    const after = await backUp();
    assert.equal(after.state, 'complete', JSON.stringify(after));
    const { rows } = await withClient(installation.catalog, (catalog) =>
      catalog.query('SELECT rows::int FROM cofre.backups WHERE id = $1', [after.backupId]),
    );
    assert.deepEqual(rows, [{ rows: 5 }]);
  });
});
