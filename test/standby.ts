import { execFile } from 'node:child_process';
import { chown, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { Secret } from '../config/secret.ts';
import type { PostgresTarget } from '../postgres/connect.ts';
import { startPostgres } from '../tools/embedded-postgres.ts';
import { freeLowPort } from '../tools/free-port.ts';
import { serverAccount, serverPrograms } from '../tools/postgres-cluster.ts';
import type { RunningServer } from '../tools/running-server.ts';

const PASSWORD = 'only-for-this-test';

/** A primary and a standby that streams from it, both of their own. */
export class ReplicatedServer {
  readonly primary: PostgresTarget;
  readonly standby: PostgresTarget;
  readonly #folder: string;
  readonly #servers: readonly [primary: RunningServer, standby: RunningServer];

  private constructor(folder: string, servers: readonly [RunningServer, RunningServer]) {
    this.#folder = folder;
    this.#servers = servers;
    const target = ({ port }: RunningServer): PostgresTarget => ({
      ...{ host: '127.0.0.1', port, tls: 'off', user: 'postgres', database: 'postgres' },
      password: new Secret(PASSWORD),
    });
    this.primary = target(servers[0]);
    this.standby = target(servers[1]);
  }

  static async start(standbySettings: Readonly<Record<string, string>>): Promise<ReplicatedServer> {
    const folder = await mkdtemp(join(tmpdir(), 'cofre-standby-'));
    const [primaryFolder, standbyFolder] = [join(folder, 'primary'), join(folder, 'standby')];
    const common = { password: PASSWORD, settings: { fsync: 'off' } };
    const primary = await startPostgres({ ...common, folder: primaryFolder, port: await freeLowPort() });
    try {
      await copyCluster(join(primaryFolder, 'data'), join(standbyFolder, 'data'), primary.port);
      const settings = { ...common.settings, ...standbySettings };
      const standby = await startPostgres({ ...common, settings, folder: standbyFolder, port: await freeLowPort() });
      return new ReplicatedServer(folder, [primary, standby]);
    } catch (error) {
      await primary.stop();
      throw error;
    }
  }

  async stopPrimary(): Promise<void> {
    await this.#servers[0].stop();
  }

  async stop(): Promise<void> {
    for (const server of this.#servers) await server.stop();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

async function copyCluster(from: string, to: string, port: number): Promise<void> {
  const path = join(await serverPrograms(from), 'pg_basebackup');
  const login = ['--host=127.0.0.1', `--port=${port}`, '--username=postgres'];
  // The password goes into the standby's settings, with which it finds its primary.
  const env = { ...process.env, PGPASSWORD: PASSWORD };
  await promisify(execFile)(path, [...login, '--write-recovery-conf', '--checkpoint=fast', `--pgdata=${to}`], { env });
  const { owner } = await serverAccount();
  if (owner === undefined) return;
  for (const name of ['', ...(await readdir(to, { recursive: true }))])
    await chown(join(to, name), owner.uid, owner.gid);
}
