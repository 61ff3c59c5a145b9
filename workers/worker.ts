import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { Client } from '@temporalio/client';
import { NativeConnection, Runtime, Worker } from '@temporalio/worker';
import type { Logger } from 'pino';

import { createAliasActivities } from '../activities/alias.ts';
import { createBackupActivities } from '../activities/backup.ts';
import { createCatalogActivities } from '../activities/catalog-backup.ts';
import { createCopyActivities } from '../activities/copy.ts';
import { createVerifyActivities } from '../activities/verify-again.ts';
import { createControlActivities } from '../activities/control.ts';
import { closeLostRows } from '../activities/lost-runs.ts';
import { createHoldActivities } from '../activities/holds.ts';
import { createRestoreActivities } from '../activities/restore.ts';
import { readIfThere, Spool, writeFileWhole } from '../activities/spool.ts';
import { readApplied } from '../activities/applied.ts';
import { tidySpool } from '../activities/tidy-spool.ts';
import { createSyncActivities } from '../activities/sync.ts';
import { tidyUploads } from '../activities/tidy-uploads.ts';
import { createTidyActivities } from '../activities/tidy.ts';
import { openCatalog, type Catalog } from '../catalog/open.ts';
import type { ConnectionConfig } from '../config/schema.ts';
import { resolveSecret } from '../config/secret.ts';
import { MARKER } from '../destinations/marker.ts';
import { CofreError, messageOf } from '../errors/error.ts';
import { forbidCoreDumps } from '../processes/core-dumps.ts';
import { endRecordedGroups, startTimeOf } from '../processes/group-records.ts';
import { makeOwnFolder, makePrivateFolder } from '../processes/own-folder.ts';
import { clientFinder, unfixedClients, type FindClients } from '../sources/postgres/clients.ts';
import { CONTROL_QUEUE, hostQueue } from '../workflows/queues.ts';
import { temporalLogger } from './log.ts';
import { runTogether, type RunningWorker } from './running.ts';

export interface WorkerOptions {
  readonly connection: ConnectionConfig;
  /** Which of `hosts:` this machine is; without one the worker only runs workflows and their bookkeeping. */
  readonly host: string | undefined;
  readonly log: Logger;
  /** A tool whose bytes do not move for so long is ended and tried again. */
  readonly stallMs?: number;
}

const STALL_MS = 5 * 60_000;
const LIGHT_STEPS_AT_ONCE = 8;
const CONTROL_STEPS_AT_ONCE = 16;

let isInstalled = false;
const BUNDLE = fileURLToPath(new URL('../workflow-bundle.js', import.meta.url));

/** The one place where everything is put together: connections, activities, and the queues they are polled from. */
export async function startWorker({
  connection,
  host,
  log,
  stallMs = STALL_MS,
}: WorkerOptions): Promise<RunningWorker> {
  forbidCoreDumps();
  const catalog = await openCatalogOf(connection);
  let temporal: NativeConnection | undefined;
  try {
    const here = host === undefined ? undefined : await prepareHost(catalog, host, log);
    temporal = await connectTemporal(connection, log);
    const client = new Client({ connection: temporal, namespace: connection.temporal.namespace });
    await settle(catalog, client, here?.spool, log);
    const common = {
      connection: temporal,
      namespace: connection.temporal.namespace,
      // A cancel reaches a step with the answer to its beat, so beats must not be held back for long.
      maxHeartbeatThrottleInterval: '2s',
      shutdownGraceTime: '1s',
      shutdownForceTime: '30s',
    } as const;
    const workers = [
      await Worker.create({
        ...common,
        taskQueue: CONTROL_QUEUE,
        workflowBundle: { codePath: BUNDLE },
        activities: createControlActivities({ catalog, temporal: client }),
        maxConcurrentActivityTaskExecutions: CONTROL_STEPS_AT_ONCE,
      }),
    ];
    if (host !== undefined && here !== undefined) {
      const { heavy, ...own } = here;
      const dependencies = { host, ...own, catalog, stallMs };
      const activities = {
        ...createBackupActivities(dependencies),
        ...createAliasActivities(dependencies),
        ...createCopyActivities(dependencies),
        ...createVerifyActivities(dependencies),
        ...createRestoreActivities(dependencies),
        ...createSyncActivities(dependencies),
        ...createHoldActivities(dependencies),
        ...createTidyActivities(dependencies),
        ...createCatalogActivities(dependencies),
      };
      const atOnce = { heavy, light: LIGHT_STEPS_AT_ONCE };
      for (const weight of ['heavy', 'light'] as const) {
        workers.push(
          await Worker.create({
            ...common,
            taskQueue: hostQueue(host, weight),
            activities,
            maxConcurrentActivityTaskExecutions: atOnce[weight],
          }),
        );
      }
    }
    log.info({ host, queues: workers.map(({ options }) => options.taskQueue) }, 'the worker takes work');
    return runTogether({ workers, temporal, catalog, records: here?.spool.records });
  } catch (error) {
    await temporal?.close();
    await catalog.close();
    throw error;
  }
}

/** Once for each process, which may start a worker again. */
function installRuntime(log: Logger): void {
  if (isInstalled) return;
  Runtime.install({
    logger: temporalLogger(log),
    shutdownSignals: [],
    // Else the part that is not JavaScript prints lines of its own.
    telemetryOptions: { logging: { filter: { core: 'WARN', other: 'ERROR' }, forward: {} } },
  });
  isInstalled = true;
}

/** Before this worker takes work: what runs that are gone have left in the catalog, and on this host. */
async function settle(catalog: Catalog, client: Client, spool: Spool | undefined, log: Logger): Promise<void> {
  for (const { kind, id, environment, reason } of await closeLostRows(catalog, client)) {
    log.warn({ kind, id, environment }, `closed: ${reason.message}`);
  }
  if (spool === undefined) return;
  const { removed: files, kept } = await tidySpool(spool, catalog);
  const removed = [...files, ...(await tidyUploads(spool, catalog)).removed];
  if (removed.length > 0) log.warn({ removed }, 'removed what runs that are gone had left in the spool');
  if (kept.length > 0) log.warn({ kept }, 'files that stay in the spool');
}

async function openCatalogOf({ catalog }: ConnectionConfig): Promise<Catalog> {
  const { host, port, tls, user, database } = catalog;
  return await openCatalog({ host, port, tls, user, database, password: await resolveSecret(catalog.password) });
}

async function connectTemporal({ temporal }: ConnectionConfig, log: Logger): Promise<NativeConnection> {
  installRuntime(log);
  try {
    return await NativeConnection.connect({ address: temporal.address });
  } catch (cause) {
    // It would keep the process alive.
    await Runtime.instance().shutdown();
    throw new CofreError(
      'temporal-unavailable',
      `Temporal at ${temporal.address} cannot be reached: ${messageOf(cause)}`,
      {
        cause,
        hint: 'start it, or correct temporal.address',
      },
    );
  }
}

/** Makes the spool ready, ends what a predecessor that was killed left running, and tells of clients with known holes. */
async function prepareHost(
  catalog: Catalog,
  host: string,
  log: Logger,
): Promise<{ spool: Spool; heavy: number; findClients: FindClients }> {
  const { config } = await readApplied(catalog);
  const settings = config.hosts[host];
  if (settings === undefined) {
    throw new CofreError('not-known', `there is no host "${host}" in the applied configuration`, {
      hint: `known: ${Object.keys(config.hosts).join(', ')}; say which with --host or host:`,
    });
  }
  const spool = new Spool(settings.spool, settings.keepFree);
  // Whoever could write here could have any process ended, and read the passwords of running tools.
  await makeOwnFolder(spool.path);
  await refuseDestination(spool.path);
  await makePrivateFolder(dirname(spool.scratch));
  await claimSpool(spool);
  const ended = endRecordedGroups(spool.records);
  if (ended > 0) log.warn({ ended }, 'ended tools that an earlier worker had left running');
  await rm(spool.scratch, { recursive: true, force: true });
  const { heavy, unfixedClients: unfixed } = settings;
  for (const { pgDump, warning } of await unfixedClients()) {
    log.warn({ pgDump }, unfixed === 'warn' ? `${warning}; unfixedClients allows them` : `not used: ${warning}`);
  }
  return { spool, heavy, findClients: clientFinder({ unfixed }) };
}

/** Two workers on one spool would end each other's tools: the second one is refused while the first lives. */
async function claimSpool(spool: Spool): Promise<void> {
  const claim = join(spool.path, '.run', 'worker');
  const [pid, startTime] = ((await readIfThere(claim))?.toString('utf8') ?? '').split(' ');
  if (
    pid !== undefined &&
    Number(pid) !== process.pid &&
    startTime !== undefined &&
    startTimeOf(Number(pid)) === startTime
  ) {
    throw new CofreError('busy', `the spool ${spool.path} belongs to another worker that runs (process ${pid})`, {
      hint: 'end that worker first; one worker serves a host',
    });
  }
  await writeFileWhole(claim, `${process.pid} ${startTimeOf(process.pid) ?? ''}`);
}

/** Where the spool is a destination by a link or a mount, removing local files would remove the copies. */
async function refuseDestination(spool: string): Promise<void> {
  if ((await readIfThere(join(spool, MARKER))) === undefined) return;
  throw new CofreError('bad-config', `the spool ${spool} is the folder of a destination (it has a ${MARKER})`, {
    hint: 'give the host a spool of its own in cofre.yaml, then cofre apply',
  });
}
