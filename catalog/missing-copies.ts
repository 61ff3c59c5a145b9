import type { Queries } from './open.ts';
import { VERIFIED, verifiedIn } from './verified.ts';

/** A backup that a destination does not have, and where its verified copies are. */
export interface MissingCopy {
  readonly backupId: string;
  readonly sizeBytes: number;
  readonly verifiedIn: readonly string[];
}

/** Of the rest the next run is told: one run's history must stay small. */
const LIMIT = 200;
/** What one run repairs at most: a child of it each. */
const ENVIRONMENTS = 500;

/** SQL: whether the copy `d` of the closed backup `b` should be there and is not known to be whole. */
const UNVERIFIED = `b.state IN ('complete', 'incomplete') AND d.state IN ('missing', 'uploading', 'uploaded', 'suspect')`;

/**
 * The verified backups of an environment that `destination` lacks, the newest first, at most 200; or only `backup`, if it is one
 * of them. What was found damaged there, or is being deleted, is not brought back.
 */
export async function missingCopies(
  catalog: Queries,
  {
    environment,
    destination,
    backup,
    configured,
    others,
  }: {
    readonly environment: string;
    readonly destination: string;
    readonly backup?: string | undefined;
    /** Where copies can be read: what is only elsewhere cannot be copied. */
    readonly configured: readonly string[];
    /** Only backups that have no verified copy in these. */
    readonly others?: readonly string[] | undefined;
  },
): Promise<MissingCopy[]> {
  return await catalog.query<MissingCopy>(
    `SELECT b.id AS "backupId", max(c.size_bytes) AS "sizeBytes", array_agg(c.destination ORDER BY c.destination) AS "verifiedIn"
     FROM cofre.backups b JOIN cofre.copies c ON c.backup_id = b.id AND c.state = 'verified' AND c.destination = ANY($5::text[])
     WHERE b.environment = $1 AND ${VERIFIED} AND ($3::text IS NULL OR b.id = $3)
       AND NOT EXISTS (SELECT FROM cofre.copies d WHERE d.backup_id = b.id AND d.destination = $2
         AND d.state IN ('verified', 'suspect', 'deleting', 'deleted'))
       AND ($4::text[] IS NULL OR NOT ${verifiedIn('$4')})
     GROUP BY b.id ORDER BY b.id DESC LIMIT ${LIMIT}`,
    [environment, destination, backup ?? null, others === undefined ? null : [...others], [...configured]],
  );
}

/**
 * The copies that an environment's closed backups should have in `destination` and that are not verified there: missing, damaged
 * or not proven yet, the newest first, at most 200; or only that of `backup`. `verifiedIn` may be empty.
 */
export async function unverifiedCopies(
  catalog: Queries,
  {
    environment,
    destination,
    backup,
    configured,
  }: {
    readonly environment: string;
    readonly destination: string;
    readonly backup?: string | undefined;
    /** As above. */
    readonly configured: readonly string[];
  },
): Promise<MissingCopy[]> {
  return await catalog.query<MissingCopy>(
    `SELECT b.id AS "backupId", coalesce((SELECT sum((o->>'sizeBytes')::bigint)::bigint FROM cofre.manifests m,
         jsonb_array_elements(m.document->'objects') o WHERE m.backup_id = b.id), 0) AS "sizeBytes",
       ARRAY(SELECT v.destination FROM cofre.copies v WHERE v.backup_id = b.id AND v.state = 'verified'
         AND v.destination = ANY($4::text[]) ORDER BY v.destination) AS "verifiedIn"
     FROM cofre.backups b JOIN cofre.copies d ON d.backup_id = b.id AND d.destination = $2
     WHERE b.environment = $1 AND ($3::text IS NULL OR b.id = $3) AND ${UNVERIFIED}
     ORDER BY b.id DESC LIMIT ${LIMIT}`,
    [environment, destination, backup ?? null, [...configured]],
  );
}

/**
 * How many copies in these destinations are not verified, and of which environments, with the destinations: the first 500 of them
 * that have any.
 */
export async function findUnverified(
  catalog: Queries,
  destinations: readonly string[],
): Promise<{ copies: number; environments: { environment: string; to: string[] }[] }> {
  const rows = await catalog.query<{ environment: string; to: string[]; copies: number }>(
    `SELECT b.environment, array_agg(DISTINCT d.destination ORDER BY d.destination) AS to, count(*) AS copies
     FROM cofre.backups b JOIN cofre.copies d ON d.backup_id = b.id
     WHERE d.destination = ANY($1::text[]) AND ${UNVERIFIED} GROUP BY b.environment ORDER BY b.environment`,
    [[...destinations]],
  );
  return {
    copies: rows.reduce((sum, { copies }) => sum + copies, 0),
    environments: rows.slice(0, ENVIRONMENTS).map(({ environment, to }) => ({ environment, to })),
  };
}

/** The backups of an environment that run now and began before `before` (ISO 8601). */
export async function runningBackups(catalog: Queries, environment: string, before: string): Promise<string[]> {
  const rows = await catalog.query<{ id: string }>(
    `SELECT id FROM cofre.backups WHERE environment = $1 AND kind = 'database' AND state = 'running' AND started_at < $2 ORDER BY id`,
    [environment, before],
  );
  return rows.map(({ id }) => id);
}

/**
 * Which of these environments have backups that lack a copy they should have, and where, while another copy is verified: both in the
 * `configured` destinations.
 */
export async function findDebts(
  catalog: Queries,
  environments: readonly string[],
  configured: readonly string[],
): Promise<{ environment: string; to: string[] }[]> {
  return await catalog.query(
    `SELECT b.environment, array_agg(DISTINCT c.destination ORDER BY c.destination) AS to
     FROM cofre.backups b JOIN cofre.copies c ON c.backup_id = b.id AND c.state IN ('missing', 'uploading', 'uploaded')
     WHERE b.environment = ANY($1::text[]) AND c.destination = ANY($2::text[]) AND ${VERIFIED}
       AND ${verifiedIn('$2')}
     GROUP BY b.environment ORDER BY b.environment`,
    [[...environments], [...configured]],
  );
}
