import { constants } from 'node:fs';
import { access, mkdir } from 'node:fs/promises';
import { delimiter, join, resolve } from 'node:path';

import { Connection } from '@temporalio/client';
import type { SearchAttributeType } from '@temporalio/common';

import { CofreError } from '../errors/error.ts';
import { projectFolder } from './project-folder.ts';
import { startServer, type RunningServer } from './running-server.ts';

export interface TemporalOptions {
  /** The server's own folder, made if need be: `temporal.db` holds everything it remembers, `temporal.log` its errors. */
  readonly folder: string;
  readonly port: number;
  readonly uiPort: number;
  readonly namespace?: string;
  /** Registered in a new `temporal.db` only. */
  readonly searchAttributes?: readonly { readonly name: string; readonly type: SearchAttributeType }[];
}

const ANSWER_WITHIN_MS = 2_000;

/**
 * How often a second the server looks for new work of each kind. Its own default, 20, is meant for each of hundreds of
 * shards; this server has one, so the steps of all runs would wait for turns of 50 ms.
 */
const LOOKS_PER_SECOND = 1_000;
const DYNAMIC_CONFIG = ['transfer', 'timer', 'visibility'].map(
  (queue) => `history.${queue}ProcessorMaxPollRPS=${LOOKS_PER_SECOND}`,
);

/**
 * Starts Temporal's development server and its UI on 127.0.0.1, and waits until its namespace answers.
 * It ends when this process dies; what it remembers is in `folder` and is there again the next time.
 * @throws CofreError `tool-missing` where there is no Temporal CLI, `tool-failed` with the end of the server's log.
 */
export async function startTemporal(options: TemporalOptions): Promise<RunningServer> {
  const folder = resolve(options.folder);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const namespace = options.namespace ?? 'default';
  const attributes = (options.searchAttributes ?? []).map(({ name, type }) => `${name}=${type}`);
  return startServer(
    {
      name: 'Temporal',
      port: options.port,
      path: await findTemporal(),
      args: [
        ...[
          'server',
          'start-dev',
          '--ip',
          '127.0.0.1',
          '--port',
          String(options.port),
          '--ui-port',
          String(options.uiPort),
        ],
        ...['--db-filename', join(folder, 'temporal.db'), '--namespace', namespace, '--log-level', 'error'],
        ...DYNAMIC_CONFIG.flatMap((setting) => ['--dynamic-config-value', setting]),
        // What this user has set up for the servers that they work with is not meant for this one.
        ...['--disable-config-file', '--disable-config-env'],
        ...attributes.flatMap((attribute) => ['--search-attribute', attribute]),
      ],
      env: { HOME: folder },
      logFile: join(folder, 'temporal.log'),
      endSignal: 'SIGTERM',
    },
    () => answers(`127.0.0.1:${options.port}`, namespace),
  );
}

async function answers(address: string, namespace: string): Promise<boolean> {
  try {
    const connection = await Connection.connect({ address, connectTimeout: ANSWER_WITHIN_MS });
    try {
      await connection.withDeadline(Date.now() + ANSWER_WITHIN_MS, () =>
        connection.workflowService.describeNamespace({ namespace }),
      );
      return true;
    } finally {
      await connection.close();
    }
  } catch {
    // Not yet: refused, no namespace yet, or too slow. Whoever waits knows for how long, and shows the server's log.
    return false;
  }
}

async function findTemporal(): Promise<string> {
  const folders = [join(projectFolder, '.tools/bin'), ...(process.env['PATH'] ?? '').split(delimiter)];
  for (const folder of folders) {
    const path = join(folder, 'temporal');
    if (folder !== '' && (await isExecutable(path))) return path;
  }
  throw new CofreError('tool-missing', 'the Temporal CLI is neither in .tools/bin nor in PATH', {
    hint: 'run tools/setup, which provides it',
  });
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}
