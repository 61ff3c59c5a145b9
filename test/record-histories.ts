import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Client, WorkflowHandle } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';

import { projectFolder } from '../tools/project-folder.ts';
import { holdTable } from './acceptance/hold-table.ts';
import { Installation } from './acceptance/installation.ts';
import { dumpsOf } from './acceptance/running-tools.ts';
import { sampleSql } from './acceptance/sample-data.ts';
import { startServers } from './start-servers.ts';
import { until } from './until.ts';

/**
 * `node dist/test/record-histories.js`: lets an installation do what Cofre does, and keeps the history of each workflow
 * in test/histories, which test/workflows/replay.test.ts replays. To be run again only when the workflows are meant to
 * change what they do, see test/histories/README.md. Takes about two minutes.
 */

const HISTORIES = join(projectFolder, 'test/histories');

interface RunResult {
  readonly workflowId: string;
  readonly runId: string;
  readonly backupId: string;
}

const folder = await mkdtemp(join(tmpdir(), 'cofre-histories-'));
const { servers, running } = await startServers(folder);
process.env['COFRE_TEST_SERVERS'] = JSON.stringify(servers);
try {
  const nightly = { at: '21:00', timezone: 'America/Sao_Paulo', run: 'backupDatabase', atOnce: 1, until: '05:30' };
  const installation = await Installation.create(
    [{ id: 'one' }, { id: 'two', pipeline: 'streamed' }, { id: 'gone' }],
    { nightly },
    ({ policies, destinations, environments }) => {
      Object.assign((environments as Record<string, object>)['one'] ?? {}, { namespace: 'one-ns' });
      Object.assign((environments as Record<string, object>)['two'] ?? {}, { namespace: 'two-ns' });
      const { streamed } = policies as Record<string, object>;
      Object.assign(streamed ?? {}, { copies: { to: ['volume'], alias: ['volume'] } });
      Object.values(policies as object).forEach((policy: object) => keepShortly(policy));
      addSecond(destinations as Record<string, { path: string }>);
    },
  );
  try {
    const recorded = await work(installation);
    await mkdir(HISTORIES, { recursive: true });
    for (const old of await readdir(HISTORIES)) if (old.endsWith('.json')) await rm(join(HISTORIES, old));
    for (const [name, handle] of recorded) {
      const history = await handle.fetchHistory();
      withoutThisMachine(history, installation);
      await writeFile(join(HISTORIES, `${name}.json`), `${historyToJSON(history)}\n`);
      console.error(name);
    }
  } finally {
    await installation.remove();
  }
} finally {
  for (const server of running) await server.stop();
  await rm(folder, { recursive: true, force: true });
}

/** Everything that Cofre's workflows do, and their histories by the name of the file. */
async function work(installation: Installation): Promise<Map<string, WorkflowHandle>> {
  await installation.createEnvironmentDatabase('one', sampleSql(1_000));
  await installation.createEnvironmentDatabase('two', sampleSql(1_000));
  await installation.startWorker();
  const client = await installation.client();
  const recorded = new Map<string, WorkflowHandle>();
  const record = (name: string, { workflowId, runId }: Pick<RunResult, 'workflowId'> & { runId?: string }): void =>
    void recorded.set(name, client.workflow.getHandle(workflowId, runId));
  const run = (...args: string[]): Promise<RunResult> => installation.json<RunResult>(args);

  const backup = await run('backup', 'one');
  record('backup-staged', backup);
  record('hold-environment', { workflowId: 'op/one' });
  record('backup-streamed', await run('backup', 'two'));
  record('backup-failed', await run('backup', 'gone'));

  record('copy-backups', await run('copy', backup.backupId, '--to', 'second'));
  record('verify-copies', await run('verify', backup.backupId));

  const nextYear = new Date(Date.now() + 365 * 86_400_000).toISOString();
  const hold = ['hold', backup.backupId, '--reason', 'court case 4711', '--until', nextYear, '--yes'];
  record('hold-backup', await run(...hold));
  record('release-backup', await run('release', backup.backupId, '--yes'));

  await rm(join(`${installation.backups}-2`, 'one', backup.backupId), { recursive: true });
  await leaveDumps(installation);
  record('sync-catalog', await run('sync', '--repair'));
  record('copy-backups-repair', await newest(client, 'copyBackups'));
  await run('backup', 'one', '--to', 'second');
  record('retire-destination', await run('destination', 'retire', 'second', '--to', 'volume', '--yes'));

  const release = await holdTable(installation.target('one'), 'vendas.cliente');
  const cancelled = await run('backup', 'one', '--no-follow');
  await until('the dump is under way', () => dumpsOf(installation, 'one').length > 0);
  const waited = run('backup', 'one');
  await until('another waits for its turn', async () => (await waitsForItsTurn(client)) !== undefined);
  await installation.cofre(['cancel', cancelled.workflowId, '--yes']);
  await release();
  record('backup-cancelled', cancelled);
  record('backup-after-its-turn', await waited);

  const restore = ['restore', '--from', 'one', '--backup', backup.backupId, '--to', 'one', '--yes'];
  record('restore-replaces', await run(...restore));
  record('plan-restore', await newest(client, 'planRestore'));
  record('drop-old-database', await newest(client, 'dropOldDatabase'));
  await run(...restore);
  const kept = await newest(client, 'dropOldDatabase');
  await client.workflow.getHandle(kept.workflowId).cancel();
  record('drop-old-database-kept', kept);

  await installation.dropDatabase('two');
  record('ensure-restores', await run('ensure', 'two'));
  const ensure = { taskQueue: 'control', workflowId: 'ensureDatabase/one' };
  const exists = await client.workflow.start('ensureDatabase', { ...ensure, args: [{ environment: 'one' }] });
  await exists.result();
  record('ensure-exists', exists);
  const refused = { taskQueue: 'control', workflowId: 'ensureDatabase/gone' };
  const refusal = await client.workflow.start('ensureDatabase', { ...refused, args: [{ environment: 'gone' }] });
  await until('nothing to restore', async () => (await refusal.describe()).status.name === 'FAILED');
  record('ensure-refused', refusal);

  await run('run', 'nightly');
  record('run-routine', await newest(client, 'runRoutine'));
  for (const [name, handle] of recorded)
    await until(`${name} has ended`, async () => (await handle.describe()).status.name !== 'RUNNING', 120_000);
  return recorded;
}

function keepShortly(policy: object): void {
  Object.assign(policy, { keepOldDatabaseFor: '1m' });
}

function addSecond(destinations: Record<string, { path: string }>): void {
  const { volume } = destinations;
  const path = `${volume?.path}-2`;
  mkdirSync(path, { mode: 0o700 });
  Object.assign(destinations, { second: { ...volume, path, adopt: { dumps: ['{namespace}/*.dump.gz'] } } });
}

/** As another job does: a whole one, and one that is none. */
async function leaveDumps(installation: Installation): Promise<void> {
  const { host, port, user, password } = servers.postgres;
  const folder = join(`${installation.backups}-2`, 'one-ns');
  await mkdir(folder);
  await writeFile(join(folder, 'broken.dump.gz'), 'nothing');
  const command = 'pg_dump -Fc -Z6 --no-owner --no-acl | gzip > "$0"';
  const login = { PGHOST: host, PGPORT: String(port), PGUSER: user, PGPASSWORD: password };
  execFileSync('bash', ['-c', command, join(folder, 'database_latest.dump.gz')], {
    env: { ...process.env, ...login, PGDATABASE: installation.database('one'), TZ: 'America/Sao_Paulo' },
  });
}

async function waitsForItsTurn(client: Client): Promise<string | undefined> {
  const query = `WorkflowType = 'backupDatabase' AND ExecutionStatus = 'Running' AND CofrePhase = 'waiting'`;
  for await (const { workflowId } of client.workflow.list({ query })) return workflowId;
  return undefined;
}

/** Lists are a little late. */
async function newest(client: Client, type: string): Promise<{ workflowId: string; runId: string }> {
  let found: { workflowId: string; runId: string; startTime: Date } | undefined;
  await until(`a run of ${type} is listed`, async () => {
    for await (const execution of client.workflow.list({ query: `WorkflowType = '${type}'` }))
      if (found === undefined || execution.startTime > found.startTime) found = execution;
    return found !== undefined;
  });
  if (found === undefined) throw new Error(`no run of ${type}`);
  return found;
}

/** In place: the paths, names and numbers of this machine and of this installation become those of an example. */
function withoutThisMachine(message: unknown, { folder: place, id }: Installation): void {
  const clean = (text: string): string =>
    text
      .replaceAll(place, '/srv/cofre')
      .replaceAll(projectFolder, '/opt/cofre')
      .replaceAll(new RegExp(`\\d+@${hostname()}`, 'g'), '1@erp-01')
      .replaceAll(new RegExp(`\\b${hostname()}\\b`, 'g'), 'erp-01')
      .replaceAll(id, 'acme');
  const walk = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    for (const [key, inner] of Object.entries(value)) {
      if (typeof inner === 'string') Object.assign(value, { [key]: clean(inner) });
      else if (inner instanceof Uint8Array) Object.assign(value, { [key]: cleanBytes(inner) });
      else walk(inner);
    }
  };
  const cleanBytes = (bytes: Uint8Array): Uint8Array => {
    const text = Buffer.from(bytes).toString('utf8');
    return Buffer.from(text).equals(bytes) ? new Uint8Array(Buffer.from(clean(text))) : bytes;
  };
  walk(message);
}
