import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

import { Secret } from '../../config/secret.ts';
import { withClient } from '../../postgres/connect.ts';
import { startPostgres, type PostgresOptions } from '../../tools/embedded-postgres.ts';
import { freePort } from '../../tools/free-port.ts';
import type { RunningServer } from '../../tools/running-server.ts';

let parent: string;
let options: PostgresOptions;
const running: RunningServer[] = [];

before(async () => {
  // Only this user may enter it: as root, the server's own user may not.
  parent = await mkdtemp(join(tmpdir(), 'cofre-embedded-'));
  await chmod(parent, 0o700);
  options = { folder: join(parent, 'server'), port: await freePort(), password: `p'ass word` };
});

after(async () => {
  await Promise.all(running.map((server) => server.stop()));
  await rm(parent, { recursive: true, force: true });
});

async function start(): Promise<RunningServer> {
  const server = await startPostgres(options);
  running.push(server);
  return server;
}

async function query(sql: string): Promise<unknown[]> {
  const target = { host: '127.0.0.1', port: options.port, tls: 'off', user: 'postgres', database: 'postgres' } as const;
  return withClient({ ...target, password: new Secret(options.password) }, async (client) => {
    const { rows } = await client.query<unknown[]>({ text: sql, rowMode: 'array' });
    return rows.flat();
  });
}

async function waitUntilGone(pid: number): Promise<void> {
  while (await readFile(`/proc/${pid}/stat`).catch(() => undefined)) await sleep(20);
}

test('a new server keeps UTF-8, checks its pages, wants a password and listens on this machine only', async () => {
  const server = await start();
  const settings = [
    'server_encoding',
    'data_checksums',
    'password_encryption',
    'listen_addresses',
    'unix_socket_directories',
  ];
  const values = await Promise.all(settings.map((name) => query(`show ${name}`)));
  assert.deepEqual(values.flat(), ['UTF8', 'on', 'scram-sha-256', '127.0.0.1', '']);
  assert.deepEqual(await readdir(options.folder), ['data', 'postgres.log'], 'nothing holds the password');
  await assert.rejects(startPostgres({ ...options, port: await freePort() }), { code: 'busy' });
  await query('create table public.kept as select 42 as answer');
  await server.stop();
});

test('another password is refused, and no server is left', async () => {
  await assert.rejects(startPostgres({ ...options, password: 'another' }), { code: 'server-denied' });
  assert.match(await readFile(join(options.folder, 'postgres.log'), 'utf8'), /database system is shut down\n$/);
});

test('after a restart, and after kill -9 with a session open, its data are there', async () => {
  const server = await start();
  assert.deepEqual(await query('select answer from public.kept'), [42]);
  await query(`insert into public.kept values (43)`);
  const busy = query('select pg_sleep(60)').catch(() => undefined);
  process.kill(server.pid, 'SIGKILL');
  await server.ended;
  const again = await start();
  assert.deepEqual(await query('select answer from public.kept order by 1'), [42, 43]);
  await busy;
  await again.stop();
});

test('a making of the cluster that was killed half-way is made anew', async () => {
  const half = { ...options, folder: join(parent, 'half') };
  const module = pathToFileURL(join(import.meta.dirname, '../../tools/embedded-postgres.js')).href;
  const program = `const { startPostgres } = await import(${JSON.stringify(module)}); await startPostgres(${JSON.stringify(half)});`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: 'inherit' });
  const isUnderWay = (): boolean => existsSync(join(half.folder, 'data.unfinished', 'base'));
  while (!isUnderWay()) await sleep(5);
  child.kill('SIGKILL');
  await once(child, 'exit');
  const server = await startPostgres({ ...half, port: await freePort() });
  await server.stop();
  assert.deepEqual(await readdir(half.folder), ['data', 'postgres.log']);
});

test('it ends when the process that started it is killed', async () => {
  const module = pathToFileURL(join(import.meta.dirname, '../../tools/embedded-postgres.js')).href;
  const program = `const { startPostgres } = await import(${JSON.stringify(module)});
    console.log((await startPostgres(${JSON.stringify(options)})).pid); setInterval(() => undefined, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  child.kill('SIGKILL');
  await waitUntilGone(Number(line.toString()));
  assert.match(await readFile(join(options.folder, 'postgres.log'), 'utf8'), /database system is shut down\n$/);
});
