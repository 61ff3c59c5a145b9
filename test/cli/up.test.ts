import assert from 'node:assert/strict';
import { readFile, mkdtemp, mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { once } from 'node:events';

import { stringify } from 'yaml';

import { isServed } from '../../cli/up/ports.ts';
import { cofre, RunningCommand } from './command.ts';

let folder: string;
let config: string;
let ports: { temporal: number; catalog: number };
let running: RunningCommand | undefined;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cofre-up-'));
  config = join(folder, 'cofre.yaml');
  ports = { temporal: await quietPort(), catalog: await quietPort() };
  await mkdir(join(folder, 'volume'));
  const login = (name: string): object => ({ user: `cofre_${name}`, password: `file:${folder}/secrets/${name}` });
  const address = { host: '127.0.0.1', port: ports.catalog };
  await writeFile(
    config,
    stringify({
      temporal: { address: `127.0.0.1:${ports.temporal}` },
      catalog: { ...address, database: 'cofre', ...login('catalog') },
      hosts: { here: { spool: join(folder, 'spool'), keepFree: '1MB' } },
      servers: { one: { ...address, backup: login('backup'), admin: login('admin') } },
      destinations: { volume: { type: 'directory', path: join(folder, 'volume'), hosts: ['here'] } },
      policies: { standard: { copies: { to: ['volume'] } } },
      // The catalog itself is a database like any other.
      environments: {
        self: {
          stage: 'production',
          customer: 'us',
          policy: 'standard',
          database: { server: 'one', name: 'cofre_copy', owner: 'cofre_admin' },
        },
      },
    }),
  );
});
after(async () => {
  running?.child.kill('SIGKILL');
  await gone();
  await rm(folder, { recursive: true, force: true });
});

/** Below the range from which the system takes ports for connections that go out. */
async function quietPort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const server = createServer();
    try {
      server.listen(port, '127.0.0.1');
      await once(server, 'listening');
      return (server.address() as AddressInfo).port;
    } catch {
      // Taken: another one.
    } finally {
      server.close();
    }
  }
}

async function up(): Promise<RunningCommand> {
  const command = new RunningCommand(['up', '--config', config]);
  running = command;
  await command.says(/^next /m, 120_000);
  return command;
}

async function gone(): Promise<void> {
  for (
    let tries = 0;
    tries < 300 && ((await isServed(ports.temporal)) || (await isServed(ports.catalog)));
    tries += 1
  ) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

describe('cofre up', () => {
  test('the first start makes everything: servers, passwords, catalog, schedule, and works', async () => {
    const command = await up();
    assert.match(command.stderr, /store the configuration as version 1/);
    assert.match(command.stderr, /Temporal {2}127\.0\.0\.1:\d+, UI http:\/\/127\.0\.0\.1:\d+/);
    assert.equal((await stat(join(folder, 'secrets', 'catalog'))).mode & 0o777, 0o600);
    const doctor = await cofre('doctor', '--config', config);
    assert.equal(doctor.code, 0, doctor.stdout);
    assert.match(doctor.stdout, /warn {2}environment self: there is no database cofre_copy/);
    const ensured = await cofre('ensure', 'self', '--create-empty', '--config', config);
    assert.equal(ensured.code, 0, ensured.stderr);
    const backup = await cofre('backup', 'self', '--config', config);
    assert.equal(backup.code, 0, backup.stderr);
  });

  test('a folder that cannot be made is refused, and not tried for ever', async () => {
    const elsewhere = await cofre('up', '--config', config, '--dir', '/proc/nowhere');
    assert.equal(elsewhere.code, 1);
    assert.match(elsewhere.stderr, /the folder \/proc\/nowhere cannot be made: .*\n.*--dir DIR/);
  });

  test('a second one in the same folder is refused', async () => {
    const second = await cofre('up', '--config', config);
    assert.equal(second.code, 1);
    assert.match(second.stderr, /cofre up runs already in .*, as process \d+/);
  });

  test('Ctrl-C stops everything within seconds, and the next start comes back with everything where it was', async () => {
    const before = Date.now();
    running?.child.kill('SIGINT');
    assert.equal(await running?.ended, 0);
    assert.ok(Date.now() - before < 15_000, `took ${Date.now() - before} ms`);
    assert.equal(await isServed(ports.temporal), false);
    assert.equal(await isServed(ports.catalog), false);
    const command = await up();
    assert.match(command.stderr, /Nothing to do: version 1 of the configuration is applied/);
    assert.match((await cofre('backups', '--config', config)).stdout, /self +complete/);
    assert.match((await cofre('runs', '--all', '--config', config)).stdout, /backupDatabase +completed/);
  });

  test('after kill -9 too', async () => {
    running?.child.kill('SIGKILL');
    await running?.ended;
    const command = await up();
    assert.match(command.stderr, /Nothing to do/);
    assert.match(
      await readFile(join(folder, '.cofre', 'up.json'), 'utf8'),
      new RegExp(`"up":\\{"pid":${command.child.pid},`),
    );
    const backup = await cofre('backup', 'self', '--config', config);
    assert.equal(backup.code, 0, backup.stderr);
    command.child.kill('SIGTERM');
    assert.equal(await command.ended, 0);
  });
});
