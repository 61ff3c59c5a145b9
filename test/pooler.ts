import { once } from 'node:events';
import { chown, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { freePort } from '../tools/free-port.ts';
import { serverAccount } from '../tools/postgres-cluster.ts';
import { startServer } from '../tools/running-server.ts';
import { testServers } from './servers.ts';

export interface Pooler {
  readonly port: number;
  stop(): Promise<void>;
}

/** PgBouncer in front of the test server, with one server session for each database. */
export async function startPgBouncer(
  mode: 'transaction' | 'session',
  settings: Record<string, string>,
): Promise<Pooler> {
  const { postgres } = testServers();
  const { privileges, owner } = await serverAccount();
  const folder = await mkdtemp(join(tmpdir(), 'cofre-pgbouncer-'));
  const port = await freePort();
  const options = {
    ...{
      listen_addr: '127.0.0.1',
      listen_port: String(port),
      unix_socket_dir: '',
      pool_mode: mode,
      default_pool_size: '1',
    },
    ...{ auth_type: 'plain', auth_file: join(folder, 'users'), ...settings },
  };
  const lines = Object.entries(options).map(([name, value]) => `${name} = ${value}`);
  const files = {
    'pgbouncer.ini': `[databases]\n* = host=${postgres.host} port=${postgres.port}\n[pgbouncer]\n${lines.join('\n')}\n`,
    users: `"${postgres.user}" "${postgres.password}"\n`,
  };
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content, { mode: 0o600 });
  for (const path of [folder, ...Object.keys(files).map((name) => join(folder, name))])
    if (owner !== undefined) await chown(path, owner.uid, owner.gid);
  const server = await startServer(
    {
      ...{ name: 'PgBouncer', port, path: '/usr/sbin/pgbouncer', args: ['--quiet', join(folder, 'pgbouncer.ini')] },
      ...{ privileges, logFile: join(folder, 'log'), endSignal: 'SIGINT' },
    },
    () => answers(port),
  );
  return {
    port,
    stop: async () => {
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function answers(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** One habit of poolers alone, so that no single one of them is what we know them by. */
export type Habit = 'leaves the settings out' | 'announces a process of its own';

/** A proxy that speaks just enough of PostgreSQL's protocol to have one habit of a pooler. */
export async function startHalfPooler(habit: Habit): Promise<Pooler> {
  const { postgres } = testServers();
  const sockets = new Set<Socket>();
  const server: Server = createServer((client) => {
    const upstream = connect(postgres.port, postgres.host);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined).on('close', () => [client, upstream].forEach((one) => one.destroy()));
    }
    client.once('data', (startup: Buffer) => {
      upstream.write(habit === 'leaves the settings out' ? withoutOptions(startup) : startup);
      client.pipe(upstream);
    });
    if (habit === 'leaves the settings out') upstream.pipe(client);
    else upstream.on('data', (chunk: Buffer) => void client.write(withOtherProcess(chunk)));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** StartupMessage: length, version, then names and values, each ended by a zero. */
function withoutOptions(startup: Buffer): Buffer {
  const words = startup.toString('latin1', 8).split('\0');
  const at = words.indexOf('options');
  if (at !== -1) words.splice(at, 2);
  const body = Buffer.from(words.join('\0'), 'latin1');
  const head = Buffer.from(startup.subarray(0, 8));
  head.writeInt32BE(head.length + body.length);
  return Buffer.concat([head, body]);
}

/** BackendKeyData: K, a length of 12, the process, its secret. It comes once, with the end of the login, in one piece. */
function withOtherProcess(chunk: Buffer): Buffer {
  const at = chunk.indexOf(Buffer.from([0x4b, 0, 0, 0, 12]));
  if (at !== -1) chunk.writeInt32BE(-7, at + 5);
  return chunk;
}
