import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { startTemporal } from '../tools/dev-temporal.ts';
import { freeLowPort, freePort } from '../tools/free-port.ts';
import type { RunningServer } from '../tools/running-server.ts';

/** A Temporal development server of one test's own, which it may stop, kill, and lose with all that it remembers. */
export class OwnTemporal {
  readonly folder: string;
  readonly address: string;
  readonly #port: number;
  /** Also one that is about to answer: clients may reach it before this process does, and it is killed all the same. */
  #server: Promise<RunningServer> | undefined;

  private constructor(folder: string, port: number) {
    this.folder = folder;
    this.address = `127.0.0.1:${port}`;
    this.#port = port;
  }

  static async start(): Promise<OwnTemporal> {
    // A port that stays free while the server is away.
    const temporal = new OwnTemporal(await mkdtemp(join(tmpdir(), 'cofre-temporal-')), await freeLowPort());
    await temporal.start();
    return temporal;
  }

  /** It runs, or is about to answer. */
  get isStarted(): boolean {
    return this.#server !== undefined;
  }

  /** With what it remembered, unless that was lost. */
  async start(): Promise<void> {
    if (this.#server !== undefined) throw new Error('this Temporal runs already');
    this.#server = startTemporal({
      folder: join(this.folder, 'data'),
      port: this.#port,
      uiPort: await freePort(),
    });
    await this.#server;
  }

  /** As `kill -9` ends it. */
  async kill(): Promise<void> {
    const server = await this.#server;
    if (server === undefined) throw new Error('this Temporal does not run');
    this.#server = undefined;
    process.kill(server.pid, 'SIGKILL');
    await server.ended;
  }

  /** Everything it remembered. It must not be running. */
  async lose(): Promise<void> {
    await rm(join(this.folder, 'data'), { recursive: true, force: true });
  }

  async remove(): Promise<void> {
    await (await this.#server)?.stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}
