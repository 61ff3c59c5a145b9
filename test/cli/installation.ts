import { randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { Client, Connection } from '@temporalio/client';
import pg from 'pg';
import { stringify } from 'yaml';

import { openCatalog, type Catalog } from '../../catalog/open.ts';
import { Secret } from '../../config/secret.ts';
import type { PostgresTarget } from '../../postgres/connect.ts';
import { testServers } from '../servers.ts';

/** The whole content of a `cofre.yaml`, loose because tests write mistakes too. */
export type ConfigFile = Record<string, Record<string, unknown>>;

/**
 * One installation for one test: a namespace in Temporal, an empty database for the catalog, one for a customer, folders,
 * and a configuration file that names them.
 */
export class Installation {
  readonly folder: string;
  readonly configPath: string;
  readonly client: Client;
  readonly catalog: PostgresTarget;
  readonly customerDatabase: string;
  readonly namespace: string;
  readonly #connection: Connection;
  readonly #admin: PostgresTarget;
  #openCatalog: Catalog | undefined;

  private constructor(folder: string, name: string, connection: Connection, admin: PostgresTarget) {
    this.folder = folder;
    this.configPath = join(folder, 'cofre.yaml');
    this.namespace = name;
    this.customerDatabase = `${name}_acme`;
    this.catalog = { ...admin, database: `${name}_catalog` };
    this.#connection = connection;
    this.client = new Client({ connection, namespace: name });
    this.#admin = admin;
  }

  static async create(): Promise<Installation> {
    const { postgres, temporal } = testServers();
    const name = `ops${randomBytes(4).toString('hex')}`;
    const folder = await mkdtemp(join(tmpdir(), 'cofre-test-'));
    const admin: PostgresTarget = {
      ...postgres,
      password: new Secret(postgres.password),
      tls: 'off',
      database: 'postgres',
    };
    const connection = await Connection.connect({ address: temporal.address });
    const installation = new Installation(folder, name, connection, admin);
    await installation.#sql(`CREATE DATABASE ${installation.catalog.database}`);
    await installation.#sql(`CREATE DATABASE ${installation.customerDatabase}`);
    await installation.#makeNamespace();
    for (const sub of ['spool', 'volume']) await mkdir(join(folder, sub));
    await writeFile(join(folder, 'password'), `${postgres.password}\n`, { mode: 0o600 });
    await installation.write(installation.config());
    return installation;
  }

  /** A configuration with one host, server, destination, policy, environment and routine. */
  config(): ConfigFile {
    const { postgres, temporal } = testServers();
    const login = { user: postgres.user, password: `file:${join(this.folder, 'password')}` };
    return {
      temporal: { address: temporal.address, namespace: this.namespace },
      catalog: { host: postgres.host, port: postgres.port, database: this.catalog.database, ...login },
      hosts: { here: { spool: join(this.folder, 'spool'), keepFree: '1MB' } },
      servers: { one: { host: postgres.host, port: postgres.port, backup: login, admin: login } },
      destinations: { volume: { type: 'directory', path: join(this.folder, 'volume'), shared: true } },
      policies: { standard: { copies: { to: ['volume'] } } },
      environments: { 'acme-prod': this.environment(this.customerDatabase) },
      routines: { nightly: { at: '21:00', run: 'backupDatabase' } },
    };
  }

  environment(database: string): Record<string, unknown> {
    return {
      stage: 'production',
      customer: 'acme',
      policy: 'standard',
      database: { server: 'one', name: database, owner: 'postgres' },
    };
  }

  async write(config: ConfigFile): Promise<void> {
    await writeFile(this.configPath, stringify(config));
    await chmod(this.configPath, 0o600);
  }

  async openCatalog(): Promise<Catalog> {
    this.#openCatalog ??= await openCatalog(this.catalog);
    return this.#openCatalog;
  }

  async remove(): Promise<void> {
    await this.#openCatalog?.close();
    await this.#connection.close();
    await this.#sql(`DROP DATABASE IF EXISTS ${this.catalog.database} WITH (FORCE)`);
    await this.#sql(`DROP DATABASE IF EXISTS ${this.customerDatabase} WITH (FORCE)`);
    await rm(this.folder, { recursive: true, force: true });
  }

  async #sql(text: string): Promise<void> {
    const { host, port, user, password, database } = this.#admin;
    const client = new pg.Client({ host, port, user, password: password.reveal(), database });
    await client.connect();
    try {
      await client.query(text);
    } finally {
      await client.end();
    }
  }

  /** A namespace is known to all parts of a server only after a moment. */
  async #makeNamespace(): Promise<void> {
    const { workflowService } = this.#connection;
    await workflowService.registerNamespace({
      namespace: this.namespace,
      workflowExecutionRetentionPeriod: { seconds: 86_400 as never },
    });
    for (let tries = 0; tries < 120; tries += 1) {
      try {
        await workflowService.listSchedules({ namespace: this.namespace });
        await this.client.workflow.count();
        return;
      } catch {
        await sleep(250);
      }
    }
    throw new Error(`Temporal does not know the namespace ${this.namespace} after 30 seconds`);
  }
}
