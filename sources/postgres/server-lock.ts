import { setTimeout as sleep } from 'node:timers/promises';

import type pg from 'pg';

import { CofreError } from '../../errors/error.ts';

/** What Cofre does one after the other on a database server, whichever worker does it. */
export const SERVER_LOCKS = {
  /** Changes to roles. */
  roles: 0x636f_6672,
  /** The swap and the removal of databases, so that a name that was checked stays what it was. */
  databases: 0x636f_6673,
} as const;

const TRY_EVERY_MS = 50;
const GIVE_UP_AFTER_MS = 60_000;
/** Who holds one works all the time; a session that is silent for so long is one of a host that is frozen or cut off. */
const SILENT_FOR = '30 seconds';

/**
 * Takes one of Cofre's locks for this session. A host that is frozen or cut off would keep it for hours, and with it every
 * restore on the server: its session is ended, and what it was doing is rolled back.
 * @throws CofreError `database-locked` when others work all the time.
 */
export async function takeServerLock(client: pg.Client, lock: keyof typeof SERVER_LOCKS): Promise<void> {
  const key = SERVER_LOCKS[lock];
  for (const deadline = Date.now() + GIVE_UP_AFTER_MS; ; await sleep(TRY_EVERY_MS)) {
    const { rows } = await client.query<{ taken: boolean }>('SELECT pg_try_advisory_lock($1) AS taken', [key]);
    if (rows[0]?.taken === true) return;
    await client.query(
      `SELECT pg_terminate_backend(a.pid) FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
        WHERE l.locktype = 'advisory' AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND l.classid = 0 AND l.objid = $1::int8::oid AND a.state <> 'active' AND a.state_change < now() - interval '${SILENT_FOR}'`,
      [key],
    );
    if (Date.now() > deadline) {
      throw new CofreError('database-locked', `others change ${lock} on this server all the time`, {
        hint: 'pg_locks on the server shows who holds the advisory lock',
      });
    }
  }
}
