import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type pg from 'pg';

import { CofreError } from '../../errors/error.ts';
import { startTool, ToolFailure, type ToolContext } from '../../processes/tool.ts';
import { toListFile } from './archive-sql.ts';
import { SESSION_OPTIONS, withClient, type PostgresTarget } from '../../postgres/connect.ts';
import { withToolEnvironment } from './tool-environment.ts';
import type { OpenArchive } from './open-archive.ts';
import { Complaints, toRestoreError } from './restore-failure.ts';
import type { TocEntry } from './table-of-contents.ts';

export interface PgRestoreRun extends ToolContext {
  readonly pgRestore: string;
  readonly archive: OpenArchive;
  /** Of everything in the archive: what a failure may tell. */
  readonly names: ReadonlySet<string>;
  /** The new database, and who restores. */
  readonly target: PostgresTarget;
  /** Sees every session of the new database. */
  readonly admin: PostgresTarget;
  readonly jobs: number;
  /** A folder of this step for lists and logins. */
  readonly scratch: string;
  /** After this long without any movement on the server, pg_restore is ended. */
  readonly stallMs: number;
  /** Called every second with the size of the new database. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
}

export interface RestoreHow {
  readonly rights?: boolean;
  readonly goOn?: boolean;
  readonly unlogged?: boolean;
}

const POLL_MS = 1000;

/**
 * What makes a load faster without risking it. `synchronous_commit=off` may lose the last commits in a crash of the
 * server: nobody uses this database yet, a crash fails the restore, and the statements after the load (grants, the
 * swap) commit synchronously, which makes everything before them in the log durable too. The rest keeps settings of
 * the server from ending or refusing a long load.
 */
const SESSION = [
  ...['synchronous_commit=off', 'maintenance_work_mem=256MB', 'max_parallel_maintenance_workers=0'],
  ...[
    'statement_timeout=0',
    'lock_timeout=0',
    'idle_in_transaction_session_timeout=0',
    'default_transaction_read_only=off',
  ],
];

/**
 * Keeps statements that hold passwords out of what the server writes of them: its log, pg_stat_activity, and what two
 * extensions record where they are loaded. Only a superuser may decide it.
 */
export const UNLOGGED = [
  ...['log_statement=none', 'log_min_duration_statement=-1', 'log_min_error_statement=panic'],
  ...['track_activities=off', 'pg_stat_statements.track=none', 'pgaudit.log=none'],
];

/**
 * Restores the listed entries, in their order, and stops at the first that fails; told to `goOn` it tries the others
 * too, and then fails, so that one restore tells all that is to be mended. With `rights` also privileges; `unlogged` by the
 * server, for a superuser.
 * @throws CofreError `restore-failed` naming the lost objects, `server-unavailable`, `no-space` or `tool-stalled`.
 */
export async function runPgRestore(
  run: PgRestoreRun,
  entries: readonly TocEntry[],
  { rights = false, goOn = false, unlogged = false }: RestoreHow = {},
): Promise<void> {
  if (entries.length === 0) return;
  await mkdir(run.scratch, { recursive: true, mode: 0o700 });
  // Restores of several environments share the scratch folder: a list that another one overwrites loses objects in silence.
  const folder = await mkdtemp(join(run.scratch, 'restore-'));
  const list = join(folder, 'restore.list');
  const stalled = new AbortController();
  const complaints = new Complaints();
  const onStderr = (text: string): void => complaints.take(text);
  const signals = [stalled.signal, ...(run.signal === undefined ? [] : [run.signal])];
  try {
    await writeFile(list, toListFile(entries));
    await withToolEnvironment(run.target, run.scratch, async (environment) => {
      const args = [
        // Empty: the name comes from PGDATABASE, where `=` in it is not read as a connection string.
        ...[
          '--dbname=',
          '--no-password',
          '--verbose',
          '--no-owner',
          // This server need not have the source's, and a folder there is its administrator's business.
          '--no-tablespaces',
          `--use-list=${list}`,
          `--format=${run.archive.format}`,
        ],
        ...(goOn ? [] : ['--exit-on-error']),
        ...(rights ? [] : ['--no-privileges']),
        ...(run.jobs > 1 ? [`--jobs=${run.jobs}`] : []),
        run.archive.path,
      ];
      const settings = [...SESSION, ...(unlogged ? UNLOGGED : [])];
      const env = {
        ...environment,
        PGOPTIONS: [SESSION_OPTIONS, ...settings.map((setting) => `-c ${setting}`)].join(' '),
      };
      const context = { signal: AbortSignal.any(signals), records: run.records, onStderr };
      const tool = startTool({ name: 'pg_restore', path: run.pgRestore, args, env }, {}, context);
      const finished = new AbortController();
      const watching = watch(run, finished.signal, stalled);
      try {
        await tool.done;
      } finally {
        finished.abort();
        await watching;
      }
    });
  } catch (error) {
    throw error instanceof ToolFailure ? toRestoreError(error, complaints.all(), entries, run.names) : error;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Tells progress, and ends a restore in which nothing moves: no growth, and no session that works. */
async function watch(run: PgRestoreRun, finished: AbortSignal, stalled: AbortController): Promise<void> {
  const { user, database } = run.target;
  await withClient(run.admin, async (client) => {
    let lastBytes = -1;
    let movedAt = Date.now();
    while (!finished.aborted) {
      const { bytes, working } = await look(client, database, user);
      run.onProgress?.(bytes);
      if (bytes !== lastBytes || working) movedAt = Date.now();
      lastBytes = bytes;
      if (Date.now() - movedAt > run.stallMs) {
        stalled.abort(
          new CofreError('tool-stalled', `nothing moved in the restore for ${Math.round(run.stallMs / 1000)} seconds`),
        );
        return;
      }
      await pause(POLL_MS, finished);
    }
  }).catch(() => undefined); // A server that is gone is told by pg_restore itself.
}

/** A session that waits for a lock, for its client or in a sleep does no work; an index being built does. */
async function look(client: pg.Client, database: string, user: string): Promise<{ bytes: number; working: boolean }> {
  const { rows } = await client.query<{ bytes: number; working: boolean }>(
    `SELECT coalesce(pg_database_size(oid), 0)::float8 AS bytes,
            EXISTS (SELECT FROM pg_stat_activity a
                     WHERE a.datid = d.oid AND a.usename = $2 AND a.state = 'active'
                       AND coalesce(a.wait_event_type, '') NOT IN ('Lock', 'Client', 'Timeout')) AS working
       FROM pg_database d WHERE datname = $1`,
    [database, user],
  );
  return rows[0] ?? { bytes: 0, working: false };
}

function pause(milliseconds: number, until: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (until.aborted) return resolve();
    const timer = setTimeout(done, milliseconds);
    function done(): void {
      clearTimeout(timer);
      until.removeEventListener('abort', done);
      resolve();
    }
    until.addEventListener('abort', done);
  });
}
