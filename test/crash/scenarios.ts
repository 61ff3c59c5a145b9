import { execFile } from 'node:child_process';
import { mkdir, readdir, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import type { WorkflowHandle } from '@temporalio/client';

import type { Position } from './protocol.ts';
import { asideOf, namespaceOf, type CrashSite, type Purpose } from './site.ts';

const run = promisify(execFile);

/** One kind of run, how it must end, and what others may see of it meanwhile. */
export interface Scenario {
  readonly name: string;
  readonly purpose: Purpose;
  readonly workflow: string;
  /** Brings the environment into the state from which the run starts, and gives the run's input. */
  prepare(site: CrashSite, environment: string): Promise<object>;
  /** What the live name of the database leads to, one after the other. */
  readonly database: readonly string[];
  /** How the run ends: the state of its result, or the code of its failure. */
  readonly ends: string;
  /** How many backups there are more when it has ended. */
  readonly makes: 0 | 1;
  /** What has to happen first: at this point an operator cancels the run, or as soon as it is there. */
  readonly cancelledAt?: Position | 'once';
  /** In the bounded form, the activities in which it differs from the scenarios before it. */
  readonly differsIn?: readonly string[];
  /** Its other steps have no place in their order: they run at the same time, or before it is cancelled. */
  readonly onlyThese?: true;
}

const backup = {
  workflow: 'backupDatabase',
  database: ['original'],
  ends: 'complete',
  makes: 1,
  async prepare(site: CrashSite, environment: string): Promise<object> {
    await site.makeDatabase(environment);
    return { environment };
  },
} as const;

const restore = {
  workflow: 'restoreDatabase',
  database: ['changed', 'original'],
  ends: 'restored',
  makes: 0,
  async prepare(site: CrashSite, environment: string): Promise<object> {
    await site.makeDatabase(environment);
    const backup = await site.backupOf(environment);
    await site.changeDatabase(environment);
    return { backup, to: environment };
  },
} as const;

const ensure = {
  workflow: 'ensureDatabase',
  database: ['missing', 'original'],
  ends: 'restored',
  makes: 0,
  async prepare(site: CrashSite, environment: string): Promise<object> {
    await site.makeDatabase(environment);
    await site.backupOf(environment);
    await site.dropDatabase(environment);
    return { environment };
  },
} as const;

/** What the workflows can do, so that every activity of the product has its turn. */
export const scenarios: readonly Scenario[] = [
  {
    ...backup,
    name: 'a backup',
    purpose: 'staged',
  },
  {
    ...backup,
    name: 'a streamed backup',
    purpose: 'streamed',
    differsIn: ['dump', 'compressDump', 'upload', 'verify', 'publishAlias'],
  },
  {
    ...restore,
    name: 'a restore over a live database',
    purpose: 'staged',
  },
  {
    ...restore,
    name: 'a restore of a streamed backup',
    purpose: 'streamed',
    differsIn: ['fetchBackup', 'loadDatabase'],
  },
  { ...ensure, name: 'ensure', purpose: 'staged', differsIn: ['resolveEnsure', 'loadDatabase', 'swapDatabase'] },
  {
    ...backup,
    name: 'a backup that is cancelled',
    purpose: 'staged',
    ends: 'cancelled',
    makes: 0,
    cancelledAt: { activity: 'verify', call: 1, point: 'start' },
    differsIn: ['discardCopies', 'deleteLocal', 'finishBackup'],
    onlyThese: true,
  },
  {
    ...restore,
    name: 'a restore that is cancelled',
    purpose: 'staged',
    ends: 'cancelled',
    database: ['changed'],
    cancelledAt: { activity: 'loadDatabase', call: 1, point: 'end' },
    differsIn: ['cleanRestore', 'finishRestore'],
    onlyThese: true,
  },
  {
    ...backup,
    name: 'a backup of which a copy is missing',
    purpose: 'debt',
    ends: 'incomplete',
    differsIn: ['recordMissingCopy'],
    onlyThese: true,
  },
  {
    ...ensure,
    name: 'ensure without a backup',
    purpose: 'new',
    ends: 'no-backup',
    database: ['missing'],
    differsIn: ['countFailures'],
    prepare: (_site, environment) => Promise.resolve({ environment }),
  },
  {
    ...backup,
    name: 'a backup that waits for its turn',
    purpose: 'staged',
    differsIn: ['endAbandonedLock'],
    onlyThese: true,
    async prepare(site, environment) {
      await site.makeDatabase(environment);
      await site.client.workflow.start('holdEnvironment', {
        taskQueue: 'control',
        workflowId: `op/${environment}`,
        args: [{ environment, holder: 'somebody' }],
        workflowExecutionTimeout: '30 seconds',
      });
      return { environment };
    },
  },
  {
    ...restore,
    name: 'a replaced database that somebody keeps',
    workflow: 'dropOldDatabase',
    purpose: 'staged',
    ends: 'cancelled',
    database: ['original'],
    cancelledAt: 'once',
    differsIn: ['keepOldDatabase'],
    async prepare(site, environment) {
      await site.makeDatabase(environment);
      const until = new Date(Date.now() + 3_600_000).toISOString();
      const { database } = site.target(environment);
      return { restoreId: 'none', environment, hosts: ['h1'], server: { name: 'pg' }, database, oid: 1, until };
    },
  },
  {
    ...backup,
    name: 'a further copy',
    purpose: 'staged',
    workflow: 'copyBackups',
    makes: 0,
    differsIn: ['resolveCopies', 'whatIsMissing', 'copyObject', 'verifyCopy'],
    async prepare(site, environment) {
      await site.makeDatabase(environment);
      return { environment, backup: await site.makeBackup(environment), to: ['offsite'] };
    },
  },
  {
    ...backup,
    name: 'copies read again',
    purpose: 'staged',
    workflow: 'verifyCopies',
    makes: 0,
    differsIn: ['resolveVerify', 'verifyAgain'],
    async prepare(site, environment) {
      await site.makeDatabase(environment);
      return { environment, backup: await site.makeBackup(environment) };
    },
  },
  {
    ...backup,
    name: 'a comparison of the catalog',
    purpose: 'staged',
    workflow: 'syncCatalog',
    ends: 'incomplete',
    makes: 0,
    differsIn: ['resolveSync', 'compareDestination', 'findUnverified'],
    onlyThese: true,
    async prepare(site, environment) {
      await damageCopy(site, environment);
      return { destinations: [asideOf(environment)] };
    },
  },
  {
    ...backup,
    name: 'a dump of another job',
    purpose: 'adopting',
    workflow: 'syncCatalog',
    differsIn: ['findDumps', 'adoptDump'],
    async prepare(site, environment) {
      await site.makeDatabase(environment);
      await dumpAsJob(site, environment);
      return { destinations: [asideOf(environment)] };
    },
  },
  {
    ...backup,
    name: 'a repair of a damaged copy',
    purpose: 'staged',
    workflow: 'copyBackups',
    makes: 0,
    differsIn: ['mendCopy'],
    async prepare(site, environment) {
      const backup = await damageCopy(site, environment);
      const place = asideOf(environment);
      // Only what is known to be damaged is replaced.
      await (await site.startRun('verifyCopies', environment, { environment, backup, in: [place] })).result();
      return { environment, backup, to: [place], repair: true };
    },
  },
  {
    ...backup,
    name: 'a destination that is retired',
    purpose: 'staged',
    workflow: 'retireDestination',
    makes: 0,
    differsIn: ['resolveRetirement', 'retireDestination'],
    onlyThese: true,
    async prepare(site, environment) {
      await site.makeDatabase(environment);
      const started = await site.startRun('backupDatabase', environment, { environment, to: [asideOf(environment)] });
      await started.result();
      return { destination: asideOf(environment), to: 'offsite' };
    },
  },
  {
    ...backup,
    name: 'a hold',
    purpose: 'staged',
    workflow: 'holdBackup',
    makes: 0,
    differsIn: ['openHold', 'layHold'],
    prepare: async (site, environment) => holdOf(await backupFor(site, environment)),
  },
  {
    ...backup,
    name: 'a hold that is released',
    purpose: 'staged',
    workflow: 'releaseBackup',
    makes: 0,
    differsIn: ['openRelease', 'layHold', 'endRelease'],
    async prepare(site, environment) {
      const backup = await backupFor(site, environment);
      await (await site.startRun('holdBackup', environment, holdOf(backup))).result();
      return { backup };
    },
  },
  {
    ...backup,
    name: 'a night',
    purpose: 'staged',
    workflow: 'runRoutine',
    ends: 'night',
    differsIn: ['settleLostRuns', 'resolveRoutine', 'backUpCatalog', 'findDebts', 'tidyHost'],
    onlyThese: true,
    async prepare(site, environment) {
      await site.makeDatabase(environment);
      return { routine: environment };
    },
  },
];

/** As a job of the environment's own does, which Cofre knows nothing of; each dump has a name of its own. */
async function dumpAsJob(site: CrashSite, environment: string): Promise<void> {
  const { host, port, user, password, database } = site.target(environment);
  const folder = join(site.homeOf(environment), namespaceOf(environment));
  await mkdir(folder, { recursive: true });
  const command = 'pg_dump -Fc -Z6 --no-owner --no-acl | gzip > "$0" && mv "$0" "$1"';
  const login = {
    PGHOST: host,
    PGPORT: String(port),
    PGUSER: user,
    PGPASSWORD: password.reveal(),
    PGDATABASE: database,
  };
  await run('bash', ['-o', 'pipefail', '-c', command, join(folder, '.part'), join(folder, `${Date.now()}.dump.gz`)], {
    env: { ...process.env, ...login, TZ: 'UTC' },
  });
}

async function backupFor(site: CrashSite, environment: string): Promise<string> {
  await site.makeDatabase(environment);
  return await site.makeBackup(environment);
}

function holdOf(backup: string): object {
  return { backup, reason: 'a court', until: new Date(Date.now() + 86_400_000).toISOString() };
}

/** A new backup, of which the copy in another destination was cut by hand. */
async function damageCopy(site: CrashSite, environment: string): Promise<string> {
  await site.makeDatabase(environment);
  const backup = await site.makeBackup(environment);
  await (await site.startRun('copyBackups', environment, { environment, backup, to: [asideOf(environment)] })).result();
  const folder = join(site.installation.folder, asideOf(environment), environment, backup);
  const archive = (await readdir(folder, { recursive: true })).find((name) => name.endsWith('.tar'));
  await truncate(join(folder, archive ?? ''), 1_000);
  return backup;
}

/** The state of a run's result, or the code with which it failed. */
export async function endOf(site: CrashSite, environment: string, handle: WorkflowHandle): Promise<string> {
  try {
    const result = (await handle.result()) as { state?: string; restoreId?: string; oldDatabase?: object | null };
    // Its timer lasts a second here; the run is over when what it replaced is gone.
    if (result.oldDatabase != null)
      await site.client.workflow.getHandle(`dropOldDatabase/${environment}/${result.restoreId}`).result();
    return result.state ?? 'night';
  } catch (error) {
    const { cause } = error as { cause?: Error & { type?: string | null } };
    if (cause?.name === 'CancelledFailure') return 'cancelled';
    if (cause?.type == null) throw error;
    return cause.type === 'no-backup' ? cause.type : `${cause.type}: ${cause.message}`;
  }
}
