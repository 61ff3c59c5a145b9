import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { Secret } from '../../config/secret.ts';
import { withClient, type PostgresTarget } from '../../postgres/connect.ts';
import { startPostgres } from '../../tools/embedded-postgres.ts';
import { freePort } from '../../tools/free-port.ts';
import type { RunningServer } from '../../tools/running-server.ts';
import { FaultProxy } from '../fault-proxy.ts';
import { testServers } from '../servers.ts';
import { Installation } from './installation.ts';

interface Outcome {
  readonly state: string;
  readonly error?: { readonly code: string; readonly message: string };
}

interface Check {
  readonly area: string;
  readonly state: string;
  readonly message: string;
}

const DUMP = 'a dump that nobody reads';

describe('a server is known by what it says of itself, not by its address', () => {
  let installation: Installation;
  let proxy: FaultProxy;
  let folder: string;
  const clusters: RunningServer[] = [];
  const password = randomBytes(8).toString('hex');
  type Config = Record<string, Record<string, Record<string, unknown>>>;

  before(async () => {
    const { postgres } = testServers();
    folder = await mkdtemp(join(tmpdir(), 'cofre-identity-'));
    await chmod(folder, 0o755);
    await writeFile(join(folder, 'password'), password, { mode: 0o600 });
    // The same server by another address.
    proxy = await FaultProxy.start(postgres);
    await startClusters();
    installation = await Installation.create(
      ['one', 'other', 'record', 'elsewhere', 'copied'].map((id) => ({ id })),
      {},
      (config) => {
        const { servers, environments, catalog } = config as Config;
        const login = { user: 'postgres', password: `file:${join(folder, 'password')}` };
        const [second, third] = clusters;
        servers!['alias'] = { ...servers!['pg'], port: proxy.port };
        servers!['second'] = { host: '127.0.0.1', port: second!.port, backup: login, admin: login };
        servers!['third'] = { host: '127.0.0.1', port: third!.port, backup: login, admin: login };
        const use = (id: string, server: string, name: unknown): void =>
          void Object.assign(environments![id]!['database'] as object, { server, name });
        const { name } = environments!['one']!['database'] as { name: string };
        use('other', 'alias', name);
        use('record', 'alias', catalog!['database']);
        use('elsewhere', 'second', 'acme');
        use('copied', 'third', 'acme');
      },
    );
    await installation.createEnvironmentDatabase('one', 'CREATE TABLE public.t AS SELECT generate_series(1, 9) AS id');
    await installation.startWorker();
  });

  after(async () => {
    await installation.remove();
    await proxy.stop();
    for (const cluster of clusters) await cluster.stop();
    await rm(folder, { recursive: true, force: true });
  });

  /** Two servers of which one began as a copy of the other's disk, so that they have the same system identifier. */
  async function startClusters(): Promise<void> {
    const start = async (name: string): Promise<RunningServer> =>
      await startPostgres({ folder: join(folder, name), port: await freePort(), password, settings: { fsync: 'off' } });
    const original = await start('second');
    await withClient(targetAt(original.port), (client) => client.query('CREATE DATABASE acme'));
    await original.stop();
    execFileSync('cp', ['-a', join(folder, 'second'), join(folder, 'third')]);
    clusters.push(await start('second'), await start('third'));
  }

  function targetAt(port: number): PostgresTarget {
    return {
      host: '127.0.0.1',
      port,
      tls: 'off',
      user: 'postgres',
      password: new Secret(password),
      database: 'postgres',
    };
  }

  async function oidOf(target: PostgresTarget, name: string): Promise<unknown> {
    const { rows } = await withClient(target, (client) =>
      client.query('SELECT oid FROM pg_database WHERE datname = $1', [name]),
    );
    return rows[0];
  }

  const backUp = async (id: string): Promise<Outcome> => await installation.json<Outcome>(['backup', id]);
  const doctor = async (): Promise<Check[]> => (await installation.json<{ checks: Check[] }>(['doctor'])).checks;

  it('case 130: a second environment on the database of another is refused by name, and the first goes on', async () => {
    assert.equal((await backUp('one')).state, 'complete');
    const { error } = await backUp('other');
    assert.equal(error?.code, 'refused', JSON.stringify(error));
    assert.match(
      error.message,
      /the database of other, is the database of the environment one: it is one server by two addresses/,
    );
    assert.equal((await backUp('one')).state, 'complete');
  });

  it('case 131: nor is it restored into, whatever is restored', async () => {
    const before = await oidOf(installation.admin, installation.database('one'));
    const file = join(installation.folder, 'old.dump');
    await writeFile(file, DUMP);
    const { code, stderr } = await installation.cofre(['restore', '--file', file, '--to', 'other', '--yes']);
    assert.equal(code, 3, stderr);
    assert.match(stderr, /is the database of the environment one/);
    assert.deepEqual(await oidOf(installation.admin, installation.database('one')), before);
  });

  it('case 130: the catalog is no environment, by no address', async () => {
    const { error } = await backUp('record');
    assert.equal(error?.code, 'refused', JSON.stringify(error));
    assert.match(error.message, /is the catalog itself/);
  });

  it('case 130: another server with a database of that name is no conflict, though it began as a copy of the disk', async () => {
    for (const id of ['elsewhere', 'copied', 'elsewhere']) {
      const outcome = await backUp(id);
      assert.equal(outcome.state, 'complete', JSON.stringify(outcome));
    }
  });

  it('case 130: doctor says it of both, and of nothing else', async () => {
    const checks = await doctor();
    const said = checks.filter(({ message }) => /by another address/.test(message));
    assert.deepEqual(said.map(({ area, state, message }) => `${state} ${area}: ${message}`).sort(), [
      `fail environment other: its database ${installation.database('one')} is the one of environment one, by another address`,
      `fail environment record: its database ${installation.database('catalog')} is the catalog itself, by another address`,
      'warn server alias: it is the server pg by another address',
    ]);
  });

  it('case 131: a restore to another server, which holds databases, is refused and changes nothing there', async () => {
    const [second] = clusters;
    const { environments } = installation.config as Config;
    const database = environments!['one']!['database'] as Record<string, unknown>;
    const name = installation.database('one');
    await withClient(targetAt(second!.port), (client) => client.query(`CREATE DATABASE "${name}"`));
    const before = await oidOf(targetAt(second!.port), name);
    database['server'] = 'second';
    await installation.writeConfig();
    assert.equal((await installation.cofre(['apply', '--yes'])).code, 0);
    const { code, stderr } = await installation.cofre(['restore', '--from', 'one', '--latest', '--to', 'one', '--yes']);
    assert.equal(code, 3, stderr);
    assert.match(stderr, /is not the server on which one was last seen, and it holds databases/);
    assert.match(stderr, /cofre accept one/);
    assert.deepEqual(await oidOf(targetAt(second!.port), name), before);
    assert.equal((await backUp('one')).error?.code, 'server-changed');
    // Without its database there it is the same: somebody else's databases are on that server.
    await withClient(targetAt(second!.port), (client) => client.query(`DROP DATABASE "${name}"`));
    const ensured = await installation.cofre(['ensure', 'one']);
    assert.equal(ensured.code, 3, ensured.stderr);
    assert.equal(await oidOf(targetAt(second!.port), name), undefined);
  });
});

describe('a destination is known by what is in it', () => {
  let installation: Installation;
  const second = (): string => join(installation.folder, 'second');

  before(async () => {
    installation = await Installation.create([{ id: 'one' }], {}, (config) => {
      const { destinations, policies } = config as Record<string, Record<string, Record<string, unknown>>>;
      const { path } = destinations!['volume'] as { path: string };
      destinations!['second'] = { ...destinations!['volume'], path: path.replace(/backups$/, 'second') };
      policies!['staged']!['copies'] = { to: ['volume', 'second'] };
    });
    await installation.createEnvironmentDatabase('one', 'CREATE TABLE public.t AS SELECT 1 AS id');
  });

  after(async () => await installation.remove());

  async function expectOnePlace(): Promise<void> {
    const message = /the destinations volume and second are one place: two copies there are one/;
    const { checks } = await installation.json<{ checks: Check[] }>(['doctor']);
    assert.ok(
      checks.some(({ area, state, message: said }) => area === 'destination' && state === 'fail' && message.test(said)),
    );
    const applied = await installation.cofre(['apply', '--yes']);
    assert.equal(applied.code, 2, applied.stderr);
    assert.match(applied.stderr, message);
    const backup = await installation.json<Outcome>(['backup', 'one']);
    assert.equal(backup.error?.code, 'bad-config', JSON.stringify(backup));
    assert.match(backup.error.message, message);
    assert.deepEqual(await readdir(installation.backups), ['cofre.json']);
  }

  it('case 130: two destinations that are one folder, by a link or a mount, are refused everywhere', async () => {
    const worker = await installation.startWorker();
    await symlink(installation.backups, second());
    await expectOnePlace();
    await rm(second());
    await mkdir(second());
    execFileSync('mount', ['--bind', installation.backups, second()]);
    try {
      await expectOnePlace();
    } finally {
      execFileSync('umount', ['--lazy', second()]);
    }
    await rm(second(), { recursive: true });
    await mkdir(second());
    assert.equal((await installation.cofre(['destination', 'prepare', 'second', '--yes'])).code, 0);
    assert.equal((await installation.json<Outcome>(['backup', 'one'])).state, 'complete');
    await installation.endWorker(worker, 'SIGTERM');
  });

  it('case 130: a spool that is a destination, by a link, is refused', async () => {
    await rm(installation.spool, { recursive: true });
    await symlink(installation.backups, installation.spool);
    const { code, stderr } = await installation.cofre(['worker']);
    assert.equal(code, 2, stderr);
    assert.match(stderr, /the spool .*spool is the folder of a destination/);
  });
});
