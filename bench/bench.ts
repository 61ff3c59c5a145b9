import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { finished } from 'node:stream/promises';

import { Secret } from '../config/secret.ts';
import { withClient, type PostgresTarget } from '../postgres/connect.ts';
import { clientFinder, type Clients } from '../sources/postgres/clients.ts';
import { testServers } from '../test/servers.ts';
import type { Contestant } from './contest.ts';
import { treeCpuMs, waitedForCpuMs } from './processes.ts';

/** What the benchmarks share: servers, a folder, and databases that are made once. */
export class Bench {
  readonly folder: string;
  readonly rounds: number;
  readonly #pids: { readonly postgres: number; readonly temporal: number };
  readonly #made = new Set<string>();

  constructor(options: { folder: string; rounds: number; pids: { postgres: number; temporal: number } }) {
    this.folder = options.folder;
    this.rounds = options.rounds;
    this.#pids = options.pids;
  }

  get admin(): PostgresTarget {
    const { host, port, user, password } = testServers().postgres;
    return { host, port, tls: 'off', user, password: new Secret(password), database: 'postgres' };
  }

  /** The clients that fit the server. */
  async clients(): Promise<Clients> {
    const [row] = await this.sql(`select current_setting('server_version_num')::int as version`);
    return await clientFinder({ unfixed: 'refuse' })(Number(row?.['version']));
  }

  async sql(text: string, database = 'postgres'): Promise<Record<string, unknown>[]> {
    const target = { ...this.admin, database };
    return await withClient(target, async (client) => (await client.query<Record<string, unknown>>(text)).rows);
  }

  /** Makes a database of what psql is given, unless it is there already; then all is written and counted. */
  async database(name: string, script: Iterable<string>, template = 'template0'): Promise<void> {
    if (this.#made.has(name)) return;
    await this.sql(`create database ${name} template ${template}`);
    const psql = spawn('psql', ['-Xq', '-v', 'ON_ERROR_STOP=1'], {
      env: this.environment(name),
      stdio: ['pipe', 'ignore', 'inherit'],
    });
    const ended = once(psql, 'exit');
    for (const text of script) if (!psql.stdin.write(text)) await once(psql.stdin, 'drain');
    psql.stdin.end();
    await finished(psql.stdin);
    const [code] = (await ended) as [number | null];
    if (code !== 0) throw new Error(`psql could not make ${name}: exit code ${code}`);
    await this.sql('vacuum analyze', name);
    this.#made.add(name);
  }

  /** Drops what restores have replaced, and kept for a while. */
  async dropReplaced(database: string): Promise<void> {
    const old = await this.sql(`select datname from pg_database where datname ~ '^${database}__old_'`);
    for (const { datname } of old) await this.sql(`drop database "${String(datname)}"`);
  }

  /** For psql and pg_dump without arguments. */
  environment(database: string): NodeJS.ProcessEnv {
    const { host, port, user, password } = testServers().postgres;
    return {
      ...process.env,
      ...{ PGHOST: host, PGPORT: String(port), PGUSER: user, PGPASSWORD: password, PGDATABASE: database },
    };
  }

  /** Runs commands as the old jobs did, in bash. */
  async shell(commands: string, database: string, environment: NodeJS.ProcessEnv = {}): Promise<void> {
    const child = spawn('bash', ['-euo', 'pipefail', '-c', commands], {
      env: { ...this.environment(database), ...environment },
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const [code] = (await once(child, 'exit')) as [number | null];
    if (code !== 0) throw new Error(`the commands ended with exit code ${code}: ${commands}`);
  }

  /** CPU time of commands in a shell, and of PostgreSQL. */
  shellCpu(): Contestant['cpu'] {
    return { client: waitedForCpuMs, server: () => treeCpuMs(this.#pids.postgres) };
  }

  /** CPU time of this process with its tools, and of PostgreSQL. */
  ownCpu(): Contestant['cpu'] {
    const own = (): number => process.cpuUsage().user / 1000 + process.cpuUsage().system / 1000;
    return { ...this.shellCpu(), client: () => own() + waitedForCpuMs() };
  }

  /** CPU time of a worker with its tools, of PostgreSQL with the catalog, and of Temporal's server. */
  workerCpu(worker: number): Contestant['cpu'] {
    return {
      client: () => treeCpuMs(worker),
      server: () => treeCpuMs(this.#pids.postgres),
      temporal: () => treeCpuMs(this.#pids.temporal),
    };
  }
}
