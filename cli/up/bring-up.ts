import { dirname, join, resolve } from 'node:path';

import type { Logger } from 'pino';

import { findConfigPath, loadConfig } from '../../config/load.ts';
import type { Config, TemporalConfig } from '../../config/schema.ts';
import { CofreError, messageOf } from '../../errors/error.ts';
import { makeOwnFolder } from '../../processes/own-folder.ts';
import { startTemporal } from '../../tools/dev-temporal.ts';
import type { RunningServer } from '../../tools/running-server.ts';
import { startWorker } from '../../workers/worker.ts';
import { applyConfig } from '../apply.ts';
import { Session, type GlobalOptions } from '../session.ts';
import { startLocalPostgres } from './local-postgres.ts';
import { isLoopback, isServed, nextFreePort } from './ports.ts';
import { forgetUp, recordUp, waitForPredecessor } from './predecessor.ts';

export interface UpOptions {
  /** Which configuration, and how to speak and ask. */
  readonly globals: GlobalOptions;
  /** Where the servers keep their data; `.cofre` beside the configuration unless told. */
  readonly folder?: string | undefined;
  readonly log: Logger;
  /** Aborting it while things start stops what has started. */
  readonly signal?: AbortSignal;
}

/** Everything that runs, until `stop`. */
export interface Up {
  readonly config: Config;
  readonly folder: string;
  readonly host: string | undefined;
  /** Of the Temporal server that was started here; null where another one was running. */
  readonly uiAddress: string | null;
  readonly catalogServed: boolean;
  /** Rejects when something ended by itself. */
  readonly failed: Promise<never>;
  /** Stops the worker, then Temporal, then PostgreSQL, and waits for that. May be called again. */
  stop(): Promise<void>;
}

const FIRST_UI_PORT = 8233;

/**
 * Serves what the configuration names on this machine and nobody serves yet (Temporal, the catalog's PostgreSQL), applies
 * the configuration, and works. Once for each process.
 */
export async function bringUp({ globals, folder: wanted, log, signal }: UpOptions): Promise<Up> {
  const configPath = findConfigPath(globals.config);
  const loaded = await loadConfig(configPath);
  const { config } = loaded;
  const host = hostOf(config);
  const folder = resolve(wanted ?? join(dirname(configPath), '.cofre'));
  await makeOwnFolder(folder).catch((cause: unknown) => {
    if (cause instanceof CofreError) throw cause;
    throw new CofreError('access-denied', `the folder ${folder} cannot be made: ${messageOf(cause)}`, {
      cause,
      hint: 'name another one: --dir DIR',
    });
  });
  await waitForPredecessor(folder);

  const stack: (() => Promise<void>)[] = [];
  const stop = onlyOnce(() => endAll(stack.reverse()));
  const watched: Promise<never>[] = [];
  const watch = (name: string, ended: Promise<void>): void => {
    const failed = ended.then(() => {
      throw new CofreError('unexpected', `${name} ended by itself`, { hint: `its log is in ${folder}` });
    });
    // Heard by whoever waits for `failed`; until then, and after a stop that was asked for, it is no failure.
    failed.catch(() => undefined);
    watched.push(failed);
  };
  try {
    const temporalPort = await portToServe(config.temporal.address);
    const catalogServed = isLoopback(config.catalog.host) && !(await isServed(config.catalog.port));
    const uiPort = await nextFreePort(FIRST_UI_PORT);
    const ports = [
      ...(temporalPort === undefined ? [] : [temporalPort, uiPort]),
      ...(catalogServed ? [config.catalog.port] : []),
    ];
    const pids: number[] = [];
    const keep = async (name: string, starting: Promise<RunningServer>): Promise<void> => {
      const server = await starting;
      stack.push(() => server.stop());
      watch(name, server.ended);
      pids.push(server.pid);
      await recordUp(folder, ports, pids);
    };
    await recordUp(folder, ports, []);
    stack.push(() => forgetUp(folder));
    if (catalogServed) await keep('PostgreSQL', startLocalPostgres(join(folder, 'postgres'), config));
    signal?.throwIfAborted();
    if (temporalPort !== undefined) {
      await keep('Temporal', startLocalTemporal(folder, config.temporal, temporalPort, uiPort));
    }
    signal?.throwIfAborted();
    await applyHere(configPath, loaded, host, globals);
    signal?.throwIfAborted();
    const worker = await startWorker({ connection: config, host, log });
    stack.push(async () => {
      worker.stop();
      await worker.stopped;
    });
    watch('the worker', worker.stopped);
    const failed = Promise.race(watched);
    failed.catch(() => undefined);
    const uiAddress = temporalPort === undefined ? null : `http://127.0.0.1:${uiPort}`;
    return { config, folder, host, uiAddress, catalogServed, failed, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The port on which Temporal is expected on this machine, if nobody serves it. */
async function portToServe(address: string): Promise<number | undefined> {
  const at = address.lastIndexOf(':');
  const port = Number(address.slice(at + 1));
  return isLoopback(address.slice(0, at)) && !(await isServed(port)) ? port : undefined;
}

async function startLocalTemporal(
  folder: string,
  { namespace }: TemporalConfig,
  port: number,
  uiPort: number,
): Promise<RunningServer> {
  return await startTemporal({ folder: join(folder, 'temporal'), port, uiPort, namespace });
}

async function applyHere(
  configPath: string,
  loaded: Awaited<ReturnType<typeof loadConfig>>,
  host: string | undefined,
  globals: GlobalOptions,
): Promise<void> {
  const session = new Session(loaded.config);
  try {
    await applyConfig(await session.client(), globals, {
      configPath,
      loaded,
      host,
      remove: false,
      force: false,
      firstUnasked: true,
    });
  } finally {
    await session.close();
  }
}

/** One machine is everything: its name need not be said where there is only one. */
function hostOf({ host, hosts }: Config): string | undefined {
  const names = Object.keys(hosts);
  if (host !== undefined || names.length === 0) return host;
  if (names.length === 1) return names[0];
  throw new CofreError(
    'bad-config',
    `the configuration has several hosts (${names.join(', ')}), and not which of them this machine is`,
    {
      hint: 'write host: NAME at the top of cofre.yaml',
    },
  );
}

/** One after the other; what fails does not keep the rest from ending. */
async function endAll(ends: readonly (() => Promise<void>)[]): Promise<void> {
  const failures: unknown[] = [];
  for (const end of ends) await end().catch((error: unknown) => failures.push(error));
  if (failures.length > 0) throw failures[0];
}

function onlyOnce(work: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | undefined;
  return () => (done ??= work());
}
