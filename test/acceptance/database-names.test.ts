import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import pg from 'pg';

import { withClient, type PostgresTarget } from '../../postgres/connect.ts';
import { FaultProxy } from '../fault-proxy.ts';
import { testServers } from '../servers.ts';
import { Installation } from './installation.ts';

describe('databases whose names are not plain', () => {
  let installation: Installation;
  /** Another address of the server, to which one of the names leads who reads it as more than a name. */
  let elsewhere: FaultProxy;
  const names = new Map<string, string>();

  before(async () => {
    elsewhere = await FaultProxy.start(testServers().postgres);
    installation = await Installation.create(
      [{ id: 'words' }, { id: 'address', pipeline: 'streamed' }],
      {},
      (config) => {
        names.set('words', `-x we"ird'; drop 😀 ${(config['temporal'] as { namespace: string }).namespace}`);
        names.set('address', `host=127.0.0.1 port=${elsewhere.port} a=b`);
        const places = config['environments'] as Record<string, { database: Record<string, unknown> }>;
        for (const [id, name] of names) places[id]!.database['name'] = name;
      },
    );
    for (const id of names.keys()) {
      await installation.createEnvironmentDatabase(id, 'CREATE TABLE public.t AS SELECT generate_series(1, 7) AS id');
      await rename(installation.database(id), names.get(id) ?? '');
    }
    await installation.startWorker();
  });

  after(async () => {
    await withClient(installation.admin, async (admin) => {
      const { rows } = await admin.query<{ datname: string }>(
        `SELECT datname FROM pg_database WHERE pg_get_userbyid(datdba) LIKE $1`,
        [`${installation.id}\\_%`],
      );
      for (const { datname } of rows) await admin.query(`DROP DATABASE ${pg.escapeIdentifier(datname)} WITH (FORCE)`);
    });
    await installation.remove();
    await elsewhere.stop();
  });

  async function rename(from: string, to: string): Promise<void> {
    await withClient(installation.admin, (admin) =>
      admin.query(`ALTER DATABASE ${pg.escapeIdentifier(from)} RENAME TO ${pg.escapeIdentifier(to)}`),
    );
  }

  for (const id of ['words', 'address']) {
    it(`case 19: ${id}: are backed up and restored like any other, and no other host is asked`, async () => {
      const target: PostgresTarget = { ...installation.admin, database: names.get(id) ?? '' };
      const made = await installation.json<{ state: string }>(['backup', id]);
      assert.equal(made.state, 'complete', JSON.stringify(made));
      await withClient(target, (client) => client.query('DELETE FROM public.t'));
      const restore = ['restore', '--from', id, '--latest', '--to', id, '--yes'];
      const restored = await installation.json<{ state: string }>(restore);
      assert.equal(restored.state, 'restored', JSON.stringify(restored));
      const { rows } = await withClient(target, (client) => client.query('SELECT FROM public.t'));
      assert.equal(rows.length, 7);
      assert.equal(elsewhere.passedBytes, 0);
    });
  }
});
