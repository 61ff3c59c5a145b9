import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { Connection } from '@temporalio/client';

import { messageOf } from '../errors/error.ts';
import { captureTool } from '../processes/tool.ts';
import { freeLowPort } from './free-port.ts';
import { projectFolder } from './project-folder.ts';
import { startServer, type RunningServer } from './running-server.ts';

export interface TemporalServerOptions {
  /** The server's own folder, made if need be: its configuration and `server.log`. */
  readonly folder: string;
  readonly port: number;
  /** A PostgreSQL server, and who may create databases there: Temporal's two, `<database>` and `<database>_visibility`. */
  readonly postgres: { readonly host: string; readonly port: number; readonly user: string; readonly password: string };
  readonly database: string;
}

const PROGRAMS = join(projectFolder, '.tools/temporal-server');
const PLUGIN = 'postgres12';
const SCHEMAS = { '': 'postgresql/v12/temporal', _visibility: 'postgresql/v12/visibility' } as const;
const SERVICES = ['frontend', 'history', 'matching', 'worker'] as const;
const ANSWER_WITHIN_MS = 2_000;
const NAMESPACE_KNOWN_WITHIN_MS = 60_000;

/**
 * Starts the Temporal server as a production has it: the services themselves, on PostgreSQL, with SQL visibility and the
 * limits and caches that a server has by itself. On 127.0.0.1, without a UI; it ends when this process dies. What it
 * remembers is in its databases, which are made if need be, and is there again the next time.
 */
export async function startTemporalServer(options: TemporalServerOptions): Promise<RunningServer> {
  const folder = resolve(options.folder);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  for (const [suffix, schema] of Object.entries(SCHEMAS))
    await makeDatabase(options, options.database + suffix, schema);
  const config = join(folder, 'server.yaml');
  const dynamicConfig = join(folder, 'dynamic.yaml');
  await writeFile(dynamicConfig, '{}\n');
  // JSON is YAML. It holds the password of the databases.
  await writeFile(config, JSON.stringify(await configuration(options, dynamicConfig)), { mode: 0o600 });
  const server = await startServer(
    {
      name: 'Temporal',
      port: options.port,
      path: join(PROGRAMS, 'server'),
      args: ['--config-file', config, '--allow-no-auth', 'start'],
      env: { HOME: folder },
      logFile: join(folder, 'server.log'),
      endSignal: 'SIGTERM',
    },
    () => answers(options.port),
  );
  try {
    await registerDefaultNamespace(options.port);
    return server;
  } catch (error) {
    await server.stop();
    throw error;
  }
}

/** Each step may have been done already. */
async function makeDatabase({ postgres }: TemporalServerOptions, database: string, schema: string): Promise<void> {
  const sql = (...args: string[]): Promise<string> =>
    captureTool({
      name: 'sql',
      path: join(PROGRAMS, 'sql'),
      args: [
        ...['--plugin', PLUGIN, '--ep', postgres.host, '-p', String(postgres.port), '-u', postgres.user],
        ...['--db', database, ...args],
      ],
      env: { SQL_PASSWORD: postgres.password },
    });
  try {
    await sql('create-database');
    await sql('setup-schema', '-v', '0.0');
  } catch (error) {
    if (!/already exists/.test(messageOf(error))) throw error;
  }
  await sql('update-schema', '--schema-name', schema);
}

/** As the module's `config/development-postgres12.yaml`, without what listens for nobody here. */
async function configuration(
  { port, postgres, database }: TemporalServerOptions,
  dynamicConfig: string,
): Promise<object> {
  const address = '127.0.0.1';
  const store = (databaseName: string, maxConns: number): object => ({
    sql: {
      pluginName: PLUGIN,
      databaseName,
      connectAddr: `${postgres.host}:${postgres.port}`,
      connectProtocol: 'tcp',
      user: postgres.user,
      password: postgres.password,
      maxConns,
      maxIdleConns: maxConns,
      maxConnLifetime: '1h',
    },
  });
  const services: Record<string, object> = {};
  for (const service of SERVICES) {
    const grpcPort = service === 'frontend' ? port : await freeLowPort();
    services[service] = { rpc: { grpcPort, membershipPort: await freeLowPort(), bindOnLocalHost: true } };
  }
  const initial = { enabled: true, initialFailoverVersion: 1, rpcName: 'frontend', rpcAddress: `${address}:${port}` };
  return {
    log: { stdout: true, level: 'error' },
    persistence: {
      defaultStore: 'default',
      visibilityStore: 'visibility',
      numHistoryShards: 4,
      datastores: { default: store(database, 20), visibility: store(`${database}_visibility`, 5) },
    },
    global: { membership: { maxJoinDuration: '30s', broadcastAddress: address } },
    services,
    clusterMetadata: {
      enableGlobalNamespace: false,
      failoverVersionIncrement: 10,
      masterClusterName: 'active',
      currentClusterName: 'active',
      clusterInformation: { active: initial },
    },
    dcRedirectionPolicy: { policy: 'noop' },
    dynamicConfigClient: { filepath: dynamicConfig, pollInterval: '1h' },
  };
}

async function answers(port: number): Promise<boolean> {
  try {
    await withConnection(port, (connection) => connection.workflowService.listNamespaces({}));
    return true;
  } catch {
    // Not yet: whoever waits knows for how long, and shows the server's log.
    return false;
  }
}

/** A development server has it by itself; here somebody has to make it, and all parts of the server have to learn of it. */
async function registerDefaultNamespace(port: number): Promise<void> {
  const namespace = 'default';
  const deadline = Date.now() + NAMESPACE_KNOWN_WITHIN_MS;
  await withConnection(port, async (connection) => {
    const { workflowService } = connection;
    await workflowService
      .registerNamespace({ namespace, workflowExecutionRetentionPeriod: { seconds: 86_400 as never } })
      .catch((error: unknown) => {
        if (!/already exists/i.test(messageOf(error))) throw error;
      });
  });
  while (!(await isKnown(port, namespace))) {
    if (Date.now() > deadline) throw new Error(`Temporal does not know the namespace ${namespace} after a minute`);
    await sleep(200);
  }
}

async function isKnown(port: number, namespace: string): Promise<boolean> {
  return withConnection(port, (connection) => connection.workflowService.listSchedules({ namespace })).then(
    () => true,
    () => false,
  );
}

async function withConnection<T>(port: number, use: (connection: Connection) => Promise<T>): Promise<T> {
  const connection = await Connection.connect({ address: `127.0.0.1:${port}`, connectTimeout: ANSWER_WITHIN_MS });
  try {
    return await connection.withDeadline(Date.now() + ANSWER_WITHIN_MS, () => use(connection));
  } finally {
    await connection.close();
  }
}
