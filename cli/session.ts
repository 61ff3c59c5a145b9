import type { Client } from '@temporalio/client';

import { openCatalog, type Catalog } from '../catalog/open.ts';
import { findConfigPath, loadConnection } from '../config/load.ts';
import type { ConnectionConfig } from '../config/schema.ts';
import { resolveSecret } from '../config/secret.ts';
import { connectTemporal, type Temporal } from './temporal.ts';

/** What the options before or after every command say. */
export interface GlobalOptions {
  readonly config?: string;
  readonly json: boolean;
  readonly quiet: boolean;
  readonly follow: boolean;
  readonly yes: boolean;
}

/** Opens what a command needs when it asks for it, and closes it all at the end. */
export class Session {
  readonly connection: ConnectionConfig;
  #temporal: Temporal | undefined;
  #catalog: Catalog | undefined;

  constructor(connection: ConnectionConfig) {
    this.connection = connection;
  }

  static async open(options: Pick<GlobalOptions, 'config'>): Promise<Session> {
    return new Session(await loadConnection(findConfigPath(options.config)));
  }

  /** @throws CofreError `temporal-unavailable` */
  async client(): Promise<Client> {
    this.#temporal ??= await connectTemporal(this.connection.temporal);
    return this.#temporal.client;
  }

  async catalog(): Promise<Catalog> {
    const { host, port, tls, user, database, password } = this.connection.catalog;
    this.#catalog ??= await openCatalog({ host, port, tls, user, database, password: await resolveSecret(password) });
    return this.#catalog;
  }

  async close(): Promise<void> {
    await this.#temporal?.close();
    await this.#catalog?.close();
  }
}
