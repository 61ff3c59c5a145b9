import { getBackup, type BackupDetail } from './backup-list.ts';
import type { BackupState } from './backup-states.ts';
import type { Catalog, Queries } from './open.ts';
import { CLOCKS_APART_MS } from './times.ts';
import { VERIFIED, verifiedIn } from './verified.ts';

const PASSED_OVER_SHOWN = 20;

export interface PassedOver {
  readonly backupId: string;
  readonly why: string;
}

/**
 * The environment's newest backup with at least one verified copy; `before` (ISO 8601) asks for data taken before that
 * time. An anomalous one is left out where a person asks for the latest, who most often wants what was there before the
 * loss. undefined: there is none.
 */
export async function latestVerifiedBackup(
  catalog: Catalog,
  environment: string,
  {
    before,
    anomalous,
    within,
  }: {
    readonly before?: string | undefined;
    readonly anomalous: 'take' | 'pass over';
    /** Only what has such a copy in one of these destinations. */
    readonly within?: readonly string[];
  },
): Promise<BackupDetail | undefined> {
  const [found] = await catalog.query<{ id: string }>(
    `SELECT b.id FROM cofre.backups b LEFT JOIN cofre.manifests m ON m.backup_id = b.id
     WHERE b.environment = $1 AND ${VERIFIED} AND ($2::timestamptz IS NULL OR coalesce(m.snapshot_at, b.started_at) < $2)
       AND ($3 OR NOT b.anomalous) AND ($4::text[] IS NULL OR ${verifiedIn('$4')})
     ORDER BY b.id DESC LIMIT 1`,
    [environment, before ?? null, anomalous === 'take', within === undefined ? null : [...within]],
  );
  return found === undefined ? undefined : await getBackup(catalog, found.id);
}

/**
 * Which backups are newer than the one that is restored, and why they are not taken: at most 20 that cannot be, and the
 * newest of those that could be.
 */
export async function passedOver(
  catalog: Catalog,
  { id, environment }: { id: string; environment: string },
): Promise<PassedOver[]> {
  const newer = await catalog.query<NewerRow>(
    `SELECT ${NEWER} FROM cofre.backups b WHERE b.environment = $1 AND b.kind = 'database' AND b.id > $2 ORDER BY b.id DESC`,
    [environment, id],
  );
  const better = newer.find(({ verified, anomalous }) => verified && !anomalous);
  const others = newer.filter(({ verified, anomalous }) => !verified || anomalous);
  const shown = [...(better === undefined ? [] : [better]), ...others];
  return shown.slice(0, PASSED_OVER_SHOWN).map((row) => ({ backupId: row.id, why: whyNot(row) }));
}

/**
 * The newest backup of the environment that is not verified and may still be found whole: one that runs, that has copies which
 * nobody gave up, or that failed with a dump, whose archive stays in the spool of its host. undefined: there is none.
 */
export async function unprovenBackup(catalog: Catalog, environment: string): Promise<PassedOver | undefined> {
  const [row] = await catalog.query<NewerRow>(
    `SELECT ${NEWER} FROM cofre.backups b
     WHERE b.environment = $1 AND b.kind = 'database' AND (b.state = 'running' OR b.state IN ('complete', 'incomplete')
       AND EXISTS (SELECT FROM cofre.copies c WHERE c.backup_id = b.id AND c.state NOT IN ('deleting', 'deleted'))
       OR b.state = 'failed' AND b.raw_bytes IS NOT NULL AND b.error_code IS DISTINCT FROM 'cancelled')
     ORDER BY b.id DESC LIMIT 1`,
    [environment],
  );
  return row === undefined ? undefined : { backupId: row.id, why: whyNot(row) };
}

/** SQL: what `whyNot` tells of the backup `b`. */
const NEWER = `b.id, b.state, b.error_message AS error, b.anomalous, ${VERIFIED} AS verified, (SELECT string_agg(c.destination || ' ' || c.state
  || coalesce(': ' || c.error_message, ''), ', ' ORDER BY c.destination) FROM cofre.copies c WHERE c.backup_id = b.id) AS copies`;

interface NewerRow {
  readonly id: string;
  readonly state: BackupState;
  readonly error: string | null;
  readonly verified: boolean;
  readonly anomalous: boolean;
  readonly copies: string | null;
}

/** Which of these environments have a backup that began at `since` (ISO 8601) or later and has a verified copy. */
export async function verifiedSince(
  catalog: Queries,
  environments: readonly string[],
  since: string,
): Promise<Set<string>> {
  const rows = await catalog.query<{ environment: string }>(
    `SELECT DISTINCT b.environment FROM cofre.backups b
     WHERE b.environment = ANY($1::text[]) AND b.started_at >= $2 AND ${VERIFIED}`,
    [[...environments], since],
  );
  return new Set(rows.map(({ environment }) => environment));
}

/**
 * A backup of the environment whose data are newer than those of `snapshotAt` (ISO 8601), with a verified copy and good for the
 * alias: streamed, by Cofre, and not anomalous. Its run may still be under way. One whose clock was ahead of all others' is not
 * newer: it would keep every later backup from being published. undefined: there is none.
 */
export async function newerForAlias(
  catalog: Queries,
  environment: string,
  snapshotAt: string,
): Promise<string | undefined> {
  const [row] = await catalog.query<{ id: string }>(
    `SELECT b.id FROM cofre.backups b JOIN cofre.manifests m ON m.backup_id = b.id
     WHERE b.environment = $1 AND b.state IN ('running', 'complete', 'incomplete') AND b.pipeline = 'streamed'
       AND NOT b.anomalous AND NOT b.adopted AND m.snapshot_at > $2 AND m.snapshot_at < clock_timestamp() + $3 * interval '1 ms'
       AND EXISTS (SELECT FROM cofre.copies c WHERE c.backup_id = b.id AND c.state = 'verified')
     ORDER BY m.snapshot_at DESC LIMIT 1`,
    [environment, snapshotAt, CLOCKS_APART_MS],
  );
  return row?.id;
}

/** Sizes of the newest verified backup that is not anomalous, to plan room for the next; null if there is none. */
export async function lastSizes(
  catalog: Catalog,
  environment: string,
): Promise<{ rawBytes: number; sizeBytes: number } | null> {
  const [row] = await catalog.query<{ rawBytes: number; sizeBytes: number }>(
    `SELECT b.raw_bytes AS "rawBytes",
       (SELECT max(c.size_bytes) FROM cofre.copies c WHERE c.backup_id = b.id AND c.state = 'verified') AS "sizeBytes"
     FROM cofre.backups b WHERE b.environment = $1 AND NOT b.anomalous AND ${VERIFIED} AND b.raw_bytes IS NOT NULL ORDER BY b.id DESC LIMIT 1`,
    [environment],
  );
  return row ?? null;
}

function whyNot({ id, state, error, verified, anomalous, copies }: NewerRow): string {
  if (verified && anomalous)
    return `anomalous: much less is in it than in the backup before; --backup ${id} takes it all the same`;
  if (verified) return 'newer and verified, but another one was asked for';
  switch (state) {
    case 'running':
      return 'still running';
    case 'failed':
      return error === null ? 'failed' : `failed: ${error}`;
    case 'complete':
    case 'incomplete':
      return `no copy of it is verified: ${copies ?? 'there is none'}`;
    case 'deleting':
    case 'deleted':
      return state;
  }
}
