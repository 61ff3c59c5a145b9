import { setTimeout as sleep } from 'node:timers/promises';

import pg from 'pg';

import type { Privilege } from '../../catalog/manifest.ts';
import { CofreError, messageOf, nativeCode } from '../../errors/error.ts';
import { openClient, SQLSTATE, toServerError, withClient, type PostgresTarget } from '../../postgres/connect.ts';
import { superusersSessions } from './admin-rights.ts';
import { endSessions } from './drop-database.ts';
import { restoreStatement } from './restore-target.ts';
import { takeServerLock } from './server-lock.ts';

const { escapeIdentifier, escapeLiteral } = pg;

export interface SwapRequest {
  readonly admin: PostgresTarget;
  readonly live: string;
  /** The database that is replaced, as it was when the restore began; null: there was none. */
  readonly liveOid: number | null;
  readonly replacement: string;
  readonly replacementOid: number;
  /** What the replaced database is called from now on. */
  readonly oldName: string;
  readonly owner: string;
  /** Who may connect; null is PostgreSQL's own default: everybody. */
  readonly privileges: readonly Privilege[] | null;
  readonly comment: string | null;
  /** After this long without success nothing has changed, and it says so. */
  readonly timeoutMs?: number;
  /** Aborting ends the waiting; a transaction that has begun comes to its end first. */
  readonly signal?: AbortSignal | undefined;
}

const ATTEMPT_MS = 15_000;
const RETRY_PAUSE_MS = 200;
const END_SESSIONS_EVERY_MS = 20;
const TIMEOUT_MS = 20_000;

/**
 * Puts the restored database in the place of the live one: both names change, the old one closes and the new one
 * opens in one transaction, so that a kill at any instant leaves either all of it or nothing. Called again after
 * that, it finds it done. @throws CofreError `refused` when either database is not the one that was recorded,
 * `database-locked` when sessions or prepared transactions kept it from happening: nothing changed.
 */
export async function swapDatabases(request: SwapRequest): Promise<{ alreadyDone: boolean }> {
  if (request.admin.database === request.live) {
    throw new CofreError(
      'bad-config',
      `the database ${request.live} is the one that the admin connects to: it cannot be replaced`,
    );
  }
  const deadline = Date.now() + (request.timeoutMs ?? TIMEOUT_MS);
  for (;;) {
    request.signal?.throwIfAborted();
    try {
      return await withClient(request.admin, (client) => swapOnce(client, request));
    } catch (error) {
      if (!isBusy(error)) throw error;
      if (Date.now() > deadline) {
        throw new CofreError('database-locked', messageOf(error), {
          cause: error,
          hint: `look on the server what is in it: SELECT * FROM pg_prepared_xacts (end one with COMMIT PREPARED or ROLLBACK PREPARED), SELECT * FROM pg_stat_activity`,
        });
      }
      await sleep(RETRY_PAUSE_MS, undefined, { signal: request.signal });
    }
  }
}

/**
 * Whether a swap whose answer was lost has come through. Its turn comes after that of an attempt that is under way, or
 * that was frozen in its middle, so that a no is final.
 */
export async function isSwapped(swap: Pick<SwapRequest, 'admin' | 'live' | 'replacementOid'>): Promise<boolean> {
  return withClient(swap.admin, async (client) => {
    await client.query(`SET lock_timeout = '60s'`);
    await takeServerLock(client, 'databases');
    return (await readOids(client, [swap.live])).get(swap.live) === swap.replacementOid;
  });
}

function isBusy(error: unknown): boolean {
  if (error instanceof CofreError && error.code === 'database-locked') return true;
  const code = nativeCode(error instanceof CofreError ? error.cause : error);
  return code === SQLSTATE.objectInUse || code === SQLSTATE.lockNotAvailable || code === '57014';
}

async function swapOnce(client: pg.Client, request: SwapRequest): Promise<{ alreadyDone: boolean }> {
  await client.query(
    // The third: where this process is frozen in the middle, the server takes back what was begun.
    `SET lock_timeout = ${ATTEMPT_MS}; SET statement_timeout = ${ATTEMPT_MS};
     SET idle_in_transaction_session_timeout = ${ATTEMPT_MS}; SET synchronous_commit = on`,
  );
  await takeServerLock(client, 'databases');
  const oids = await readOids(client, [request.live, request.replacement]);
  const liveOid = oids.get(request.live) ?? null;
  if (liveOid === request.replacementOid) return { alreadyDone: true };
  if (liveOid !== request.liveOid) throw changed(request.live);
  if (oids.get(request.replacement) !== request.replacementOid) throw changed(request.replacement);
  await refusePrepared(client, request);
  await refuseSuperusers(client, request);

  const ended = new AbortController();
  const own = [liveOid, request.replacementOid].flatMap((oid) => (oid === null ? [] : [oid]));
  const ending = keepEnding(request.admin, own, ended.signal);
  // It may fail while the swap still waits for the server; heard only then, that would end the whole worker.
  ending.catch(() => undefined);
  try {
    await client.query('BEGIN');
    const what = `the database ${request.live} could not be replaced, nothing was changed`;
    for (const statement of statements(request)) await restoreStatement(client, what, statement);
    await client.query('COMMIT');
    return { alreadyDone: false };
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined);
    throw error;
  } finally {
    ended.abort();
    await ending;
  }
}

/**
 * RENAME takes the lock that a new connection needs, so from its first instant nobody gets in any more, and waits up
 * to five seconds for those inside, whom the second session ends. Whoever waits at the door is told that the database
 * was just renamed, and finds the new one behind it at the next try. Closing the live database first, in a transaction
 * of its own, would need undoing after a kill.
 */
function statements(request: SwapRequest): string[] {
  const live = escapeIdentifier(request.live);
  const old = escapeIdentifier(request.oldName);
  const owner = escapeIdentifier(request.owner);
  const replaced =
    request.liveOid === null
      ? []
      : [`ALTER DATABASE ${live} RENAME TO ${old}`, `ALTER DATABASE ${old} ALLOW_CONNECTIONS false`];
  const rights =
    request.privileges === null
      ? [`GRANT CONNECT, TEMPORARY ON DATABASE ${live} TO PUBLIC`, `GRANT ALL ON DATABASE ${live} TO ${owner}`]
      : [
          `REVOKE ALL ON DATABASE ${live} FROM PUBLIC, ${owner}`,
          ...request.privileges.map((right) => grant(live, right)),
        ];
  return [
    ...replaced,
    `ALTER DATABASE ${escapeIdentifier(request.replacement)} RENAME TO ${live}`,
    `ALTER DATABASE ${live} OWNER TO ${owner}`,
    ...rights,
    `COMMENT ON DATABASE ${live} IS ${request.comment === null ? 'NULL' : escapeLiteral(request.comment)}`,
    `ALTER DATABASE ${live} ALLOW_CONNECTIONS true`,
  ];
}

function grant(database: string, { grantee, privilege, grantable }: Privilege): string {
  if (!/^(CREATE|CONNECT|TEMPORARY|TEMP)$/.test(privilege)) {
    throw new CofreError(
      'bad-content',
      `the manifest names a right that databases do not have: ${privilege.slice(0, 40)}`,
    );
  }
  const to = grantee === '' ? 'PUBLIC' : escapeIdentifier(grantee);
  return `GRANT ${privilege} ON DATABASE ${database} TO ${to}${grantable && grantee !== '' ? ' WITH GRANT OPTION' : ''}`;
}

/** No one can end a prepared transaction but its owner; to try all the same would shut everybody out for seconds. */
async function refusePrepared(client: pg.Client, { live, replacement }: SwapRequest): Promise<void> {
  const { rows } = await client.query<{ name: string; count: number }>(
    'SELECT database AS name, count(*)::int AS count FROM pg_prepared_xacts WHERE database = ANY($1) GROUP BY 1',
    [[live, replacement]],
  );
  if (rows.length === 0) return;
  const found = rows.map(({ name, count }) => `${count} in ${name}`).join(', ');
  throw new CofreError(
    'database-locked',
    `prepared transactions keep the database ${live} from being replaced (${found}); nothing was changed`,
  );
}

/** Nor may an admin that is no superuser end a superuser's session. */
async function refuseSuperusers(client: pg.Client, { live }: SwapRequest): Promise<void> {
  const sessions = await superusersSessions(client, live);
  if (sessions.length === 0) return;
  throw new CofreError(
    'database-locked',
    `sessions of superusers keep the database ${live} from being replaced (${sessions.join(', ')}); nothing was changed`,
  );
}

/** Clients in a reconnecting loop come back as fast as they are ended: so again and again until the swap is over. */
async function keepEnding(admin: PostgresTarget, oids: readonly number[], until: AbortSignal): Promise<void> {
  const client = await openClient(admin).catch(() => undefined);
  if (client === undefined) return; // The swap's own session meets the same trouble and reports it.
  try {
    while (!until.aborted) {
      await endSessions(client, oids);
      await sleep(END_SESSIONS_EVERY_MS, undefined, { signal: until });
    }
  } catch (error) {
    if (!until.aborted) throw toServerError(error, admin);
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function readOids(client: pg.Client, names: readonly string[]): Promise<Map<string, number>> {
  const { rows } = await client.query<{ name: string; oid: number }>(
    'SELECT datname AS name, oid::int8::float8 AS oid FROM pg_database WHERE datname = ANY($1)',
    [names],
  );
  return new Map(rows.map(({ name, oid }) => [name, oid]));
}

function changed(name: string): CofreError {
  return new CofreError(
    'refused',
    `the database ${name} is not the one that this restore began with: nothing was changed`,
    {
      hint: 'somebody dropped, created or renamed it meanwhile; look at it, then restore again',
    },
  );
}
