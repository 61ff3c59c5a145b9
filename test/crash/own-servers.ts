import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { startPostgres } from '../../tools/embedded-postgres.ts';
import { freeLowPort } from '../../tools/free-port.ts';
import type { RunningServer } from '../../tools/running-server.ts';
import { OwnTemporal } from '../own-temporal.ts';
import { testServers, type TestServers } from '../servers.ts';
import { familyOf, signalIfThere } from './processes.ts';

/**
 * PostgreSQL and Temporal of one test file alone, because it kills them. Until they are removed `testServers()` gives them.
 */
export class OwnServers {
  readonly #folder: string;
  readonly #login: TestServers['postgres'];
  readonly #temporal: OwnTemporal;
  readonly #common: string | undefined;
  #postgres: RunningServer | undefined;

  private constructor(folder: string, login: TestServers['postgres'], temporal: OwnTemporal) {
    this.#folder = folder;
    this.#login = login;
    this.#temporal = temporal;
    this.#common = process.env['COFRE_TEST_SERVERS'];
    process.env['COFRE_TEST_SERVERS'] = JSON.stringify({
      ...testServers(),
      postgres: login,
      temporal: { address: temporal.address, namespace: 'default' },
    } satisfies TestServers);
  }

  static async start(): Promise<OwnServers> {
    const folder = await mkdtemp(join(tmpdir(), 'cofre-servers-'));
    const password = randomBytes(16).toString('hex');
    // A port that stays free while the server is away.
    const login = { host: '127.0.0.1', port: await freeLowPort(), user: 'postgres', password };
    const servers = new OwnServers(folder, login, await OwnTemporal.start());
    await servers.#startPostgres();
    return servers;
  }

  /** As after a power cut: all its processes are gone at once, and it starts again on what it had written. */
  async killPostgres(): Promise<void> {
    const server = this.#postgres;
    if (server === undefined) return;
    for (const pid of familyOf(server.pid)) signalIfThere(pid, 'SIGKILL');
    await server.ended;
    await this.#startPostgres();
  }

  async killTemporal(): Promise<void> {
    await this.#temporal.kill();
    await this.#temporal.start();
  }

  async remove(): Promise<void> {
    if (this.#common !== undefined) process.env['COFRE_TEST_SERVERS'] = this.#common;
    await this.#postgres?.stop();
    await this.#temporal.remove();
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #startPostgres(): Promise<void> {
    const { port, password } = this.#login;
    // What is killed is the server, never the machine: what it has written stays.
    const settings = { fsync: 'off', max_connections: '200' };
    this.#postgres = await startPostgres({ folder: join(this.#folder, 'postgres'), port, password, settings });
  }
}
