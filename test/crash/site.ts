import { mkdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import type { ChildProcess } from 'node:child_process';

import type { Client, WorkflowHandle } from '@temporalio/client';

import { withClient, type PostgresTarget } from '../../postgres/connect.ts';
import { Installation } from '../acceptance/installation.ts';
import { sampleSql } from '../acceptance/sample-data.ts';
import { bundleWithShortLimits, type Limits } from './short-bundle.ts';
import { FaultyWorkers } from './faulty-workers.ts';

/** Enough that a dump has several tables and a compressed one, and small enough for hundreds of runs. */
const ROWS = 4_000;

/**
 * What an environment of the site is for: `staged` and `streamed` have a database and a policy of that pipeline, `debt` has
 * a second destination that takes nothing, `new` never had a database or backup, `adopting` has a job of its own that dumps
 * into the environment's destination.
 */
export type Purpose = 'staged' | 'streamed' | 'debt' | 'new' | 'adopting';

const PURPOSES = ['staged', 'streamed', 'debt', 'new', 'adopting'] as const;

export interface SiteOptions {
  readonly jobs?: number;
  /** How soon a host counts as lost. */
  readonly limits?: Limits;
  /** Changes the configuration before it is applied. */
  readonly change?: (config: SiteConfig) => void;
}

/** An installation with many small environments of the same content, to crash its workers and servers. */
export class CrashSite {
  readonly installation: Installation;
  readonly workers: FaultyWorkers;
  readonly client: Client;
  /** The administrator of the server that has the environments' databases. */
  readonly server: PostgresTarget;
  readonly environments: Readonly<Record<Purpose, readonly string[]>>;
  #runs = 0;
  #worker: ChildProcess | undefined;

  private constructor(fields: Pick<CrashSite, 'installation' | 'workers' | 'client' | 'server' | 'environments'>) {
    this.installation = fields.installation;
    this.workers = fields.workers;
    this.client = fields.client;
    this.server = fields.server;
    this.environments = fields.environments;
  }

  /** `count`: how many environments for each purpose. */
  static async create(
    count: Readonly<Partial<Record<Purpose, number>>>,
    { jobs = 2, limits = 'patient', change = () => undefined }: SiteOptions = {},
  ): Promise<CrashSite> {
    const named = PURPOSES.map((purpose) => [
      purpose,
      Array.from({ length: count[purpose] ?? 0 }, (_, index) => `${purpose}-${index + 1}`),
    ]);
    const environments = Object.fromEntries(named) as Record<Purpose, string[]>;
    const installation = await Installation.create([], {}, (config) => {
      configure(config, environments, jobs);
      change(config as unknown as SiteConfig);
    });
    const site = new CrashSite({
      installation,
      environments,
      client: await installation.client(),
      server: installation.admin,
      workers: new FaultyWorkers(installation, await bundleWithShortLimits(installation.folder, limits)),
    });
    await site.#makeSeed();
    // A file where the second destination of these would make their folder: it refuses them for ever.
    for (const environment of environments.debt) await writeFile(join(installation.folder, 'full', environment), '');
    return site;
  }

  /** The worker of h1. */
  get worker(): ChildProcess {
    if (this.#worker === undefined) throw new Error('the site has no worker yet');
    return this.#worker;
  }

  set worker(worker: ChildProcess) {
    this.#worker = worker;
  }

  async startWorker(): Promise<void> {
    this.#worker = await this.workers.start();
  }

  /** The folders of the destinations that take something. */
  get places(): ReadonlyMap<string, string> {
    return new Map([
      ['volume', this.installation.backups],
      ['offsite', join(this.installation.folder, 'offsite')],
      ...this.environments.adopting.map((environment) => [asideOf(environment), this.homeOf(environment)] as const),
    ]);
  }

  /** The folder of the destination that an environment is backed up to. */
  homeOf(environment: string): string {
    const { folder, backups } = this.installation;
    return this.environments.adopting.includes(environment) ? join(folder, asideOf(environment)) : backups;
  }

  get catalog(): PostgresTarget {
    return { ...this.installation.admin, database: `${this.installation.id}_catalog` };
  }

  target(environment: string): PostgresTarget {
    return { ...this.server, database: this.#databaseOf(environment) };
  }

  /** The environment's database as at the source, made anew unless it is so already. */
  async makeDatabase(environment: string): Promise<void> {
    if ((await this.look(environment)) === 'original') return;
    await this.dropDatabase(environment);
    const { id } = this.installation;
    await this.#admin(`CREATE DATABASE "${this.#databaseOf(environment)}" TEMPLATE "${id}_seed" OWNER "${id}_owner"`);
  }

  /** Somebody has worked in the database since its backup. */
  async changeDatabase(environment: string): Promise<void> {
    await withClient(this.target(environment), (client) => client.query(`UPDATE public.marca SET estado = 'changed'`));
  }

  async dropDatabase(environment: string): Promise<void> {
    await this.#admin(`DROP DATABASE IF EXISTS "${this.#databaseOf(environment)}" WITH (FORCE)`);
  }

  /** What the live name leads to: a whole database as at its backup, one that was changed since, none, or `broken: why`. */
  async look(environment: string): Promise<string> {
    try {
      return await withClient(this.target(environment), async (client) => {
        const { rows } = await client.query<{ estado: string; rows: number }>(
          'SELECT estado, (SELECT count(*)::int FROM vendas.cliente) AS rows FROM public.marca',
        );
        return rows[0]?.rows === ROWS ? rows[0].estado : `broken: ${JSON.stringify(rows)}`;
      });
    } catch (error) {
      const { code, message, cause } = error as { code?: string; message: string; cause?: { detail?: string } };
      // Whoever knocks in the instant of a swap is told so by PostgreSQL, and gets in the next time.
      if (/just been dropped or renamed/.test(cause?.detail ?? '')) return 'unknown';
      if (code === 'database-missing') return 'missing';
      // Its session was ended, by the swap or by the test: that says nothing about the database.
      return code === 'server-unavailable' ? 'unknown' : `broken: ${message}`;
    }
  }

  /** Starts a run of `workflow` for the environment. */
  async startRun(workflow: string, environment: string, input: object): Promise<WorkflowHandle> {
    this.#runs += 1;
    return await this.client.workflow.start(workflow, {
      taskQueue: 'control',
      workflowId: `${workflow}/${environment}/${this.#runs}`,
      args: [input],
    });
  }

  /** The newest backup of the environment, made now if there is none. */
  async backupOf(environment: string): Promise<string> {
    return (await this.#newestBackup(environment)) ?? (await this.makeBackup(environment));
  }

  async makeBackup(environment: string): Promise<string> {
    const run = await this.startRun('backupDatabase', environment, { environment });
    return ((await run.result()) as { backupId: string }).backupId;
  }

  async remove(): Promise<void> {
    this.workers.close();
    await this.client.connection.close();
    await this.installation.remove();
  }

  async #newestBackup(environment: string): Promise<string | undefined> {
    return await withClient(this.catalog, async (client) => {
      const { rows } = await client.query<{ id: string }>(
        `SELECT id FROM cofre.backups WHERE environment = $1 AND state = 'complete' ORDER BY id DESC LIMIT 1`,
        [environment],
      );
      return rows[0]?.id;
    });
  }

  async #makeSeed(): Promise<void> {
    const { id } = this.installation;
    await this.#admin(`CREATE ROLE "${id}_owner" LOGIN`, `CREATE DATABASE "${id}_seed" OWNER "${id}_owner"`);
    await withClient({ ...this.server, database: `${id}_seed` }, (client) =>
      client.query(
        `SET ROLE "${id}_owner"; ${sampleSql(ROWS)} CREATE TABLE public.marca AS SELECT 'original' AS estado`,
      ),
    );
    const { staged, streamed, debt, adopting } = this.environments;
    const all = [...staged, ...streamed, ...debt, ...adopting];
    for (const environment of all) await this.makeDatabase(environment);
  }

  async #admin(...statements: readonly string[]): Promise<void> {
    await withClient(this.server, async (client) => {
      for (const statement of statements) await client.query(statement);
    });
  }

  #databaseOf(environment: string): string {
    return databaseOf(this.installation.id, environment);
  }
}

export interface SiteConfig {
  readonly temporal: { address: string };
  readonly catalog: { host: string; port: number };
  readonly hosts: Record<string, { spool: string; keepFree: string; heavy: number }>;
  readonly servers: Record<string, { host: string; port: number; backup: Login; admin: Login; atOnce: number }>;
  readonly destinations: Record<string, Record<string, unknown>>;
  readonly policies: Record<string, object>;
  readonly environments: Record<string, object>;
  readonly routines: Record<string, object>;
}

interface Login {
  readonly user: string;
  readonly password: string;
}

/** Adds the environments and what they need to the configuration of an empty installation. */
function configure(
  configuration: Record<string, unknown>,
  environments: Readonly<Record<Purpose, readonly string[]>>,
  jobs: number,
): void {
  const config = configuration as unknown as SiteConfig;
  const { h1 } = config.hosts;
  if (h1 === undefined) throw new Error('an installation has the host h1');
  const folder = dirname(h1.spool);
  const id = (configuration['catalog'] as { database: string }).database.replace(/_catalog$/, '');
  // As many as stand still at once, and some more.
  h1.heavy = 16;
  for (const name of ['full', 'offsite']) {
    mkdirSync(join(folder, name), { mode: 0o700 });
    config.destinations[name] = { type: 'directory', path: join(folder, name), hosts: ['h1'] };
  }
  const policy = (pipeline: string, ...to: string[]): object => ({
    pipeline,
    jobs,
    copies: { to },
    keepOldDatabaseFor: '1m',
  });
  config.policies['debt'] = policy('staged', 'volume', 'full');
  config.policies['staged'] = policy('staged', 'volume');
  config.policies['streamed'] = {
    ...policy('streamed', 'volume'),
    copies: { to: ['volume'], alias: ['volume'] },
  };
  for (const purpose of PURPOSES) {
    for (const environment of environments[purpose]) {
      config.environments[environment] = {
        stage: 'production',
        customer: 'acme',
        namespace: namespaceOf(environment),
        policy: purpose === 'new' ? 'staged' : purpose === 'adopting' ? environment : purpose,
        database: { server: 'pg', name: databaseOf(id, environment), owner: `${id}_owner` },
      };
      // Started by the tests alone: its time is half a day away.
      const at = `${String((new Date().getUTCHours() + 12) % 24).padStart(2, '0')}:30`;
      const routine = { at, timezone: 'UTC', run: 'backupDatabase', environments: { names: [environment] } };
      if (purpose !== 'staged' && purpose !== 'adopting') continue;
      // To be damaged, compared and retired, or with the dumps of a job: no other environment has copies there.
      const aside = asideOf(environment);
      const path = join(folder, aside);
      mkdirSync(path, { mode: 0o700 });
      config.destinations[aside] = { type: 'directory', path, hosts: ['h1'] };
      if (purpose === 'staged') config.routines[environment] = routine;
      else {
        config.destinations[aside]['adopt'] = { dumps: ['{namespace}/*.dump.gz'], timezone: 'UTC' };
        config.policies[environment] = policy('staged', aside);
      }
    }
  }
}

/** A destination in which only this environment has copies. */
export function asideOf(environment: string): string {
  return `old-${environment}`;
}

/** Where the job of an environment leaves its dumps. */
export function namespaceOf(environment: string): string {
  return `ns-${environment}`;
}

function databaseOf(id: string, environment: string): string {
  return `${id}_${environment.replace('-', '_')}`;
}
