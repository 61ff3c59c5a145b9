import { randomBytes } from 'node:crypto';
import { join } from 'node:path';

import { startTemporal } from '../tools/dev-temporal.ts';
import { startPostgres } from '../tools/embedded-postgres.ts';
import { freeLowPort, freePort } from '../tools/free-port.ts';
import type { RunningServer } from '../tools/running-server.ts';
import { startTemporalServer } from '../tools/temporal-server.ts';
import { searchAttributes } from '../workflows/search-attributes.ts';
import type { TestServers } from './servers.ts';

/** One PostgreSQL cluster and one Temporal development server in `folder`; when one fails, none is left running. */
export async function startServers(
  folder: string,
  settings: Readonly<Record<string, string>> = {},
): Promise<{ servers: TestServers; running: RunningServer[] }> {
  const password = randomBytes(16).toString('hex');
  const [postgresPort, temporalPort, uiPort] = [await freePort(), await freePort(), await freePort()];
  const starts = await Promise.allSettled([
    // Tests kill processes, never the machine: there is nothing to wait for the disk for.
    startPostgres({
      folder: join(folder, 'postgres'),
      port: postgresPort,
      password,
      settings: { fsync: 'off', max_connections: '200', max_prepared_transactions: '5', ...settings },
    }),
    startTemporal({
      folder: join(folder, 'temporal'),
      port: temporalPort,
      uiPort,
      searchAttributes: Object.values(searchAttributes),
    }),
  ]);
  const running = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []));
  for (const start of starts) {
    if (start.status === 'fulfilled') continue;
    await Promise.all(running.map((server) => server.stop()));
    throw start.reason;
  }
  const servers: TestServers = {
    postgres: { host: '127.0.0.1', port: postgresPort, user: 'postgres', password },
    temporal: { address: `127.0.0.1:${temporalPort}`, namespace: 'default' },
  };
  return { servers, running };
}

/** A Temporal server of production shape, beside the others, with its databases on the same PostgreSQL. */
export async function startProductionTemporal(
  folder: string,
  { postgres }: TestServers,
): Promise<{ servers: TestServers; running: RunningServer }> {
  const port = await freeLowPort();
  const running = await startTemporalServer({
    folder: join(folder, 'temporal-server'),
    port,
    postgres,
    database: 'temporal',
  });
  return { servers: { postgres, temporal: { address: `127.0.0.1:${port}`, namespace: 'default' } }, running };
}
