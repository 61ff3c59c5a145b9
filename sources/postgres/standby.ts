import { setTimeout as sleep } from 'node:timers/promises';

import type pg from 'pg';

import { CofreError } from '../../errors/error.ts';
import type { PostgresTarget } from '../../postgres/connect.ts';

/**
 * A dump of a standby that is further behind is refused: no night's replication takes so long, so it has stopped, and the
 * backup would look newer than its data.
 */
const MAX_LAG_MS = 3_600_000;

/**
 * A standby that has replayed all that it received is not behind, as long as it still receives; the last commit alone would
 * make a quiet primary look dead. Who receives no more is as old as the last commit that it replayed.
 */
const LAG = `
  select case when exists (select from pg_stat_wal_receiver) and pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn() then 0
    else extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000 end::float8 as "lagMs"`;
/** On a quiet primary one look can fall into the moment between receiving and replaying its first commit for hours. */
const LOOKS = 3;
const LOOK_EVERY_MS = 300;

/**
 * How many milliseconds older than its clock the data are that a standby shows now.
 * @throws CofreError `standby-behind` when that is more than `maxMs` (an hour unless told), or when nothing tells.
 */
export async function standbyLag(client: pg.Client, target: PostgresTarget, maxMs = MAX_LAG_MS): Promise<number> {
  let lagMs: number | null = null;
  for (let look = 1; look <= LOOKS; look += 1) {
    if (look > 1) await sleep(LOOK_EVERY_MS);
    const { rows } = await client.query<{ lagMs: number | null }>(LAG);
    lagMs = rows[0]?.lagMs ?? null;
    if (lagMs !== null && lagMs <= maxMs) return Math.max(0, Math.round(lagMs));
  }
  const behind =
    lagMs === null ? 'and does not tell how far it is behind' : `${Math.round(lagMs / 1000)} s behind its primary`;
  throw new CofreError('standby-behind', `${target.host}:${target.port} is a standby, ${behind}`, {
    hint: 'look at its replication (pg_stat_wal_receiver there, pg_stat_replication on the primary), or give servers: the primary',
  });
}

/** What a backup of a standby has to say of itself. */
export function standbyWarning(lagMs: number): string {
  return `the server is a standby, ${(lagMs / 1000).toFixed(1)} s behind its primary: the data are so much older, and unlogged tables are dumped without their rows`;
}
