import { setTimeout as sleep } from 'node:timers/promises';

import type { Command } from 'commander';
import type { Logger } from 'pino';

import { requireOwnNamespace } from '../activities/namespace.ts';
import { currentConfiguration } from '../catalog/configurations.ts';
import type { ConnectionConfig } from '../config/schema.ts';
import { CofreError, messageOf, type ErrorCode } from '../errors/error.ts';
import type { RunningWorker } from '../workers/running.ts';
import { examplesAndExits } from './help.ts';
import { say } from './print.ts';
import { Session, type GlobalOptions } from './session.ts';
import { aborted, listenForStop } from './up.ts';

/** What another machine or another command will mend, so that the order in which things start does not matter. */
const WORTH_WAITING: ReadonlySet<ErrorCode> = new Set([
  'temporal-unavailable',
  'catalog-unavailable',
  'catalog-version',
  'not-known',
  'refused',
]);
/** What may go away and come back while a worker runs. */
const COMES_BACK: ReadonlySet<ErrorCode> = new Set(['temporal-unavailable', 'catalog-unavailable']);
const TRY_AGAIN_MS = 5_000;

export function register(program: Command, globals: () => GlobalOptions): void {
  program
    .command('worker')
    .summary('do the work of one host')
    .description(
      'Takes work until it is told to stop (Ctrl-C, SIGTERM): the steps of the host, and the workflows. Waits for Temporal, the\n' +
        'catalog and the first `cofre apply`. What it was doing when it stopped or died goes on when it is started again.',
    )
    .option('--host <name>', 'which of hosts: this machine is (else host: of the configuration)')
    .addHelpText('after', examplesAndExits(['cofre worker', 'cofre worker --host erp-01'], [0, 1, 2, 130]))
    .action(async ({ host: named }: { host?: string }) => {
      const options = globals();
      const stop = listenForStop();
      const { createLog } = await import('../workers/log.ts');
      const log = createLog();
      const { connection } = await Session.open(options);
      const host = named ?? connection.host;
      let failures = 0;
      while (!stop.aborted) {
        try {
          await waitUntilReady(connection, log, stop);
          if (stop.aborted) break;
          const worker = await start(connection, host, log);
          say(
            options,
            host === undefined ? 'takes work: workflows alone, no host was named' : `takes work for the host ${host}`,
          );
          void aborted(stop).then(() => worker.stop());
          await worker.stopped;
        } catch (error) {
          if (!isOneOf(COMES_BACK, error)) throw error;
          failures += 1;
          log.error({ hint: error.hint }, `the worker has ended, and starts again: ${error.message}`);
          await sleep(TRY_AGAIN_MS, undefined, { signal: stop }).catch(() => undefined);
        }
      }
      say(options, 'stopped');
      // What a failed worker holds keeps the process alive.
      if (failures > 0) process.exit();
    });
}

function isOneOf(codes: ReadonlySet<ErrorCode>, error: unknown): error is CofreError {
  return error instanceof CofreError && codes.has(error.code);
}

async function start(connection: ConnectionConfig, host: string | undefined, log: Logger): Promise<RunningWorker> {
  const { startWorker } = await import('../workers/worker.ts');
  return await startWorker({ connection, host, log });
}

/** Returns when Temporal, the catalog and an applied configuration are there and fit, or the signal says to stop. */
async function waitUntilReady(connection: ConnectionConfig, log: Logger, stop: AbortSignal): Promise<void> {
  while (!stop.aborted) {
    const session = new Session(connection);
    try {
      const client = await session.client();
      const catalog = await session.catalog();
      await currentConfiguration(catalog);
      await requireOwnNamespace(catalog, client);
      return;
    } catch (error) {
      if (!isOneOf(WORTH_WAITING, error)) throw error;
      log.warn({ hint: error.hint }, `waiting: ${messageOf(error)}`);
    } finally {
      await session.close();
    }
    await sleep(TRY_AGAIN_MS, undefined, { signal: stop }).catch(() => undefined);
  }
}
