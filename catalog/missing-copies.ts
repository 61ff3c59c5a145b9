import type { Queries } from './open.ts';
import { VERIFIED } from './verified.ts';

/** A backup that a destination does not have, and where its verified copies are. */
export interface MissingCopy {
  readonly backupId: string;
  readonly sizeBytes: number;
  readonly verifiedIn: readonly string[];
}

/** Of the rest the next run is told: one run's history must stay small. */
const LIMIT = 200;

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
  }: { readonly environment: string; readonly destination: string; readonly backup?: string | undefined },
): Promise<MissingCopy[]> {
  return await catalog.query<MissingCopy>(
    `SELECT b.id AS "backupId", max(c.size_bytes) AS "sizeBytes", array_agg(c.destination ORDER BY c.destination) AS "verifiedIn"
     FROM cofre.backups b JOIN cofre.copies c ON c.backup_id = b.id AND c.state = 'verified'
     WHERE b.environment = $1 AND ${VERIFIED} AND ($3::text IS NULL OR b.id = $3)
       AND NOT EXISTS (SELECT FROM cofre.copies d WHERE d.backup_id = b.id AND d.destination = $2
         AND d.state IN ('verified', 'suspect', 'deleting', 'deleted'))
     GROUP BY b.id ORDER BY b.id DESC LIMIT ${LIMIT}`,
    [environment, destination, backup ?? null],
  );
}

/** The backups of an environment that run now and began before `before` (ISO 8601). */
export async function runningBackups(catalog: Queries, environment: string, before: string): Promise<string[]> {
  const rows = await catalog.query<{ id: string }>(
    `SELECT id FROM cofre.backups WHERE environment = $1 AND kind = 'database' AND state = 'running' AND started_at < $2 ORDER BY id`,
    [environment, before],
  );
  return rows.map(({ id }) => id);
}

/** Which of these environments have backups that lack a copy they should have, and where, while another copy is verified. */
export async function findDebts(
  catalog: Queries,
  environments: readonly string[],
): Promise<{ environment: string; destinations: string[] }[]> {
  return await catalog.query(
    `SELECT b.environment, array_agg(DISTINCT c.destination ORDER BY c.destination) AS destinations
     FROM cofre.backups b JOIN cofre.copies c ON c.backup_id = b.id AND c.state IN ('missing', 'uploading', 'uploaded')
     WHERE b.environment = ANY($1::text[]) AND ${VERIFIED}
     GROUP BY b.environment ORDER BY b.environment`,
    [[...environments]],
  );
}
