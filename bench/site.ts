import { randomUUID } from 'node:crypto';

import type { Client } from '@temporalio/client';

import { Installation, type TestEnvironment } from '../test/acceptance/installation.ts';
import type { BackupResult } from '../workflows/backup-database.ts';
import { CONTROL_QUEUE } from '../workflows/queues.ts';
import type { RestoreResult } from '../workflows/restore-into.ts';
import type { Bench } from './bench.ts';
import type { Contestant } from './contest.ts';

/** An installation whose one environment has a database of the benchmarks, with a worker that runs. */
export class Site {
  readonly #installation: Installation;
  readonly #client: Client;
  #lastRun = '';
  readonly workerPid: number;
  readonly cpu: Contestant['cpu'];

  readonly #bench: Bench;
  readonly #database: string;

  private constructor(bench: Bench, database: string, installation: Installation, client: Client, workerPid: number) {
    this.#bench = bench;
    this.#database = database;
    this.#installation = installation;
    this.#client = client;
    this.workerPid = workerPid;
    this.cpu = bench.workerCpu(workerPid);
  }

  static async open(bench: Bench, database: string, pipeline: TestEnvironment['pipeline'] = 'staged'): Promise<Site> {
    const installation = await Installation.create([{ id: 'site', pipeline }], {}, (config) => {
      const { site } = config['environments'] as { site: { database: { name: string } } };
      site.database.name = database;
    });
    // Who owns what it has; a restore gives everything to this role.
    await bench.sql(`create role "${installation.owner('site')}" login`);
    const worker = await installation.startWorker();
    return new Site(bench, database, installation, await installation.client(), worker.pid ?? 0);
  }

  get spool(): string {
    return this.#installation.spool;
  }

  /** Runs `backupDatabase` to its end; gives its result. */
  async backup(): Promise<BackupResult> {
    return await this.#run('backupDatabase', { environment: 'site' });
  }

  async restore(backupId: string): Promise<RestoreResult> {
    return await this.#run('restoreDatabase', { backup: backupId, to: 'site' });
  }

  /** How long each step of the last run took, from when its worker began with it: by its name, in milliseconds. */
  async steps(): Promise<Record<string, number>> {
    const { events } = await this.#client.workflow.getHandle(this.#lastRun).fetchHistory();
    const took: Record<string, number> = {};
    for (const event of events ?? []) {
      const ended = event.activityTaskCompletedEventAttributes;
      if (ended == null) continue;
      const find = (id: unknown): typeof event | undefined =>
        events?.find(({ eventId }) => String(eventId) === String(id));
      const name = find(ended.scheduledEventId)?.activityTaskScheduledEventAttributes?.activityType?.name ?? '';
      const ms = millisecondsOf(event) - millisecondsOf(find(ended.startedEventId));
      took[`${name}Ms`] = (took[`${name}Ms`] ?? 0) + ms;
    }
    return took;
  }

  async close(): Promise<void> {
    await this.#client.connection.close();
    // A restore has given everything to the installation's owner, who goes with it.
    const owner = this.#installation.owner('site');
    await this.#bench.dropReplaced(this.#database);
    await this.#bench.sql(`alter database ${this.#database} owner to current_user`);
    await this.#bench.sql(`reassign owned by "${owner}" to current_user; drop owned by "${owner}"`, this.#database);
    await this.#installation.remove();
  }

  async #run<T>(workflow: string, input: object): Promise<T> {
    this.#lastRun = `${workflow}/site/${randomUUID()}`;
    return await this.#client.workflow.execute<(input: object) => Promise<T>>(workflow, {
      taskQueue: CONTROL_QUEUE,
      workflowId: this.#lastRun,
      args: [input],
    });
  }
}

function millisecondsOf(
  event: { eventTime?: { seconds?: unknown; nanos?: number | null } | null } | undefined,
): number {
  return Number(event?.eventTime?.seconds ?? 0) * 1000 + (event?.eventTime?.nanos ?? 0) / 1e6;
}
