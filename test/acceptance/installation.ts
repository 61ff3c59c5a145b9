import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { Client, Connection } from '@temporalio/client';
import { stringify } from 'yaml';

import { Secret } from '../../config/secret.ts';
import { withClient, type PostgresTarget } from '../../postgres/connect.ts';
import { testServers } from '../servers.ts';

const COFRE = fileURLToPath(new URL('../../cli/cofre.js', import.meta.url));

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** One database that an installation looks after, and how its configuration differs from the usual. */
export interface TestEnvironment {
  readonly id: string;
  readonly stage?: 'production' | 'homologation' | 'development';
  readonly productionOf?: string;
  readonly pipeline?: 'staged' | 'streamed';
  readonly trusted?: boolean;
}

/**
 * An installation as an operator has it: a configuration file, a catalog, a spool and a destination, a namespace of its
 * own in Temporal, worked with through the command line alone.
 */
export class Installation {
  readonly folder: string;
  readonly id: string;
  readonly config: Record<string, unknown>;
  readonly #workers = new Set<ChildProcess>();
  readonly #databases: string[] = [];

  constructor(folder: string, id: string, config: Record<string, unknown>) {
    this.folder = folder;
    this.id = id;
    this.config = config;
  }

  /**
   * Makes everything up to `cofre apply`; the databases of the environments are not made. `change` may change the
   * configuration before it is written.
   */
  static async create(
    environments: readonly TestEnvironment[],
    routines: object = {},
    change: (config: Record<string, unknown>) => void = () => undefined,
  ): Promise<Installation> {
    const id = `t${randomBytes(4).toString('hex')}`;
    const folder = await mkdtemp(join(tmpdir(), 'cofre-acceptance-'));
    const { postgres, temporal } = testServers();
    await mkdir(join(folder, 'backups'), { mode: 0o700 });
    await writeFile(join(folder, 'password'), postgres.password, { mode: 0o600 });
    const password = `file:${join(folder, 'password')}`;
    const login = { user: postgres.user, password };
    const policy = (pipeline: string): object => ({ pipeline, copies: { to: ['volume'] }, keepOldDatabaseFor: '1h' });
    const config = {
      temporal: { address: temporal.address, namespace: id },
      catalog: { host: postgres.host, port: postgres.port, database: `${id}_catalog`, ...login },
      host: 'h1',
      hosts: { h1: { spool: join(folder, 'spool'), keepFree: '1%', heavy: 2 } },
      servers: { pg: { host: postgres.host, port: postgres.port, backup: login, admin: login, atOnce: 2 } },
      destinations: { volume: { type: 'directory', path: join(folder, 'backups'), hosts: ['h1'] } },
      policies: { staged: policy('staged'), streamed: policy('streamed') },
      environments: Object.fromEntries(
        environments.map(({ id: name, stage, productionOf, pipeline, trusted }) => [
          name,
          {
            stage: stage ?? 'production',
            customer: 'acme',
            policy: pipeline ?? 'staged',
            ...(productionOf === undefined ? {} : { productionOf }),
            database: {
              server: 'pg',
              name: `${id}_${name}`,
              owner: `${id}_${name}_owner`,
              roles: { [`${id}_${name}_owner`]: { password } },
              ...(trusted === undefined ? {} : { trusted }),
            },
          },
        ]),
      ),
      routines,
    };
    change(config);
    const installation = new Installation(folder, id, config);
    await installation.createNamespace();
    await installation.createDatabase(`${id}_catalog`, postgres.user);
    await installation.writeConfig();
    const applied = await installation.cofre(['apply', '--yes']);
    if (applied.code !== 0) throw new Error(`cofre apply failed: ${applied.stderr}`);
    return installation;
  }

  get admin(): PostgresTarget {
    const { host, port, user, password } = testServers().postgres;
    return { host, port, tls: 'off', user, password: new Secret(password), database: 'postgres' };
  }

  /** The test servers' one, unless the configuration names another. */
  get temporalAddress(): string {
    return (this.config['temporal'] as { address: string }).address;
  }

  get catalog(): PostgresTarget {
    return { ...this.admin, database: `${this.id}_catalog` };
  }

  get backups(): string {
    return join(this.folder, 'backups');
  }

  get spool(): string {
    return join(this.folder, 'spool');
  }

  database(environment: string): string {
    return `${this.id}_${environment}`;
  }

  owner(environment: string): string {
    return `${this.id}_${environment}_owner`;
  }

  target(environment: string): PostgresTarget {
    return { ...this.admin, database: this.database(environment) };
  }

  async writeConfig(): Promise<void> {
    await writeFile(join(this.folder, 'cofre.yaml'), stringify(this.config));
  }

  async createDatabase(name: string, owner: string): Promise<void> {
    this.#databases.push(name);
    await withClient(this.admin, (client) =>
      client.query(`CREATE DATABASE "${name}" OWNER "${owner}" TEMPLATE template0`),
    );
  }

  /** Creates the environment's owner and database, and runs `sql` in it as the owner. */
  async createEnvironmentDatabase(environment: string, sql: string): Promise<void> {
    const owner = this.owner(environment);
    const { password } = testServers().postgres;
    await withClient(this.admin, (client) => client.query(`CREATE ROLE "${owner}" LOGIN PASSWORD '${password}'`));
    await this.createDatabase(this.database(environment), owner);
    await withClient({ ...this.target(environment), user: owner }, (client) => client.query(sql));
  }

  async dropDatabase(environment: string): Promise<void> {
    await withClient(this.admin, (client) =>
      client.query(`DROP DATABASE "${this.database(environment)}" WITH (FORCE)`),
    );
  }

  async databaseExists(environment: string): Promise<boolean> {
    const { rows } = await withClient(this.admin, (client) =>
      client.query('SELECT FROM pg_database WHERE datname = $1', [this.database(environment)]),
    );
    return rows.length > 0;
  }

  /** Runs the command as a person would, in the installation's folder. */
  async cofre(args: readonly string[], input?: string): Promise<CommandResult> {
    const child = spawn(process.execPath, [COFRE, ...args], { cwd: this.folder, stdio: ['pipe', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.stdin.end(input ?? '');
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, stdout, stderr };
  }

  async json<T>(args: readonly string[]): Promise<T> {
    const result = await this.cofre([...args, '--json']);
    try {
      return JSON.parse(result.stdout) as T;
    } catch (cause) {
      throw new Error(
        `cofre ${args.join(' ')} printed no JSON (exit ${result.code}): ${result.stdout}${result.stderr}`,
        { cause },
      );
    }
  }

  /**
   * Starts the worker of a host and waits until it takes work; `onOutput` is given its log. `within` is the beginning of
   * its command line.
   */
  async startWorker(
    environment: Record<string, string> = {},
    onOutput: (text: string) => void = () => undefined,
    host = 'h1',
    within: readonly string[] = [],
  ): Promise<ChildProcess> {
    const [program = '', ...args] = [...within, process.execPath, COFRE, 'worker', '--host', host];
    const worker = spawn(program, args, {
      cwd: this.folder,
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#workers.add(worker);
    let output = '';
    await new Promise<void>((resolve, reject) => {
      const look = (text: string): void => {
        onOutput(text);
        output += text;
        if (output.includes('takes work')) resolve();
      };
      worker.stdout.setEncoding('utf8').on('data', look);
      worker.stderr.setEncoding('utf8').on('data', look);
      worker.once('exit', (code) => reject(new Error(`the worker ended with ${code}: ${output}`)));
    });
    return worker;
  }

  async endWorker(worker: ChildProcess, signal: NodeJS.Signals): Promise<void> {
    this.#workers.delete(worker);
    if (worker.exitCode !== null || worker.signalCode !== null) return;
    const ended = once(worker, 'exit');
    worker.kill(signal);
    await ended;
  }

  async killWorkers(): Promise<void> {
    for (const worker of this.#workers) await this.endWorker(worker, 'SIGKILL');
  }

  async client(): Promise<Client> {
    return new Client({ connection: await Connection.connect({ address: this.temporalAddress }), namespace: this.id });
  }

  /** Ends everything and removes what was made. */
  async remove(): Promise<void> {
    for (const worker of this.#workers) await this.endWorker(worker, 'SIGTERM');
    await withClient(this.admin, async (client) => {
      const { rows } = await client.query<{ datname: string }>(
        `SELECT datname FROM pg_database WHERE datname LIKE $1`,
        [`${this.id}\\_%`],
      );
      for (const { datname } of rows) await client.query(`DROP DATABASE IF EXISTS "${datname}" WITH (FORCE)`);
      const roles = await client.query<{ rolname: string }>(`SELECT rolname FROM pg_roles WHERE rolname LIKE $1`, [
        `${this.id}\\_%`,
      ]);
      for (const { rolname } of roles.rows) await client.query(`DROP ROLE IF EXISTS "${rolname}"`);
    });
    await rm(this.folder, { recursive: true, force: true });
  }

  /** In Temporal; again after it was lost. */
  async createNamespace(namespace = this.id): Promise<void> {
    const connection = await Connection.connect({ address: this.temporalAddress });
    try {
      await connection.workflowService.registerNamespace({
        namespace,
        workflowExecutionRetentionPeriod: { seconds: 86_400 as never },
      });
      // A new namespace is known everywhere only after the server's caches were refreshed.
      for (;;) {
        try {
          await connection.workflowService.listSchedules({ namespace });
          return;
        } catch {
          await new Promise((resolve) => setTimeout(resolve, 200));
        }
      }
    } finally {
      await connection.close();
    }
  }
}
