import type { Queries } from './open.ts';

/** A verified copy, and when it was proven last. */
export interface Proof {
  readonly backupId: string;
  readonly destination: string;
  readonly sizeBytes: number;
  /** ISO 8601. */
  readonly verifiedAt: string;
}

type ProofRow = Omit<Proof, 'verifiedAt'> & { readonly verifiedAt: Date };

/** One run's history must stay small; the next run goes on. */
const LIMIT = 200;

/**
 * The verified copies of an environment in these destinations that were proven longest ago, before `before`: one in `nights` of
 * all, and whatever was proven before `overdue` besides; at most 200.
 */
export async function oldestProofs(
  catalog: Queries,
  question: {
    readonly environment: string;
    readonly destinations: readonly string[];
    readonly before: string;
    readonly nights: number;
    readonly overdue: string;
  },
): Promise<Proof[]> {
  const { environment, destinations, before, nights, overdue } = question;
  const rows = await catalog.query<ProofRow>(
    `WITH proofs AS (
       SELECT c.backup_id, c.destination, c.size_bytes, c.verified_at
       FROM cofre.copies c JOIN cofre.backups b ON b.id = c.backup_id
       WHERE b.environment = $1 AND b.kind = 'database' AND b.state IN ('complete', 'incomplete')
         AND c.state = 'verified' AND c.destination = ANY($2::text[]))
     SELECT backup_id AS "backupId", destination, size_bytes AS "sizeBytes", verified_at AS "verifiedAt" FROM proofs
     WHERE verified_at < $3
     ORDER BY verified_at, backup_id, destination
     LIMIT least(${LIMIT}, greatest(
       (SELECT ceil(count(*) / $4::numeric) FROM proofs), (SELECT count(*) FROM proofs WHERE verified_at < $5)))`,
    [environment, [...destinations], before, nights, overdue],
  );
  return toProofs(rows);
}

/** The copies of one backup that may be whole, in these destinations: verified ones, and those found damaged before. */
export async function provenCopies(
  catalog: Queries,
  backupId: string,
  destinations: readonly string[],
): Promise<Proof[]> {
  const rows = await catalog.query<ProofRow>(
    `SELECT backup_id AS "backupId", destination, size_bytes AS "sizeBytes", verified_at AS "verifiedAt" FROM cofre.copies
     WHERE backup_id = $1 AND destination = ANY($2::text[]) AND state IN ('verified', 'suspect') AND verified_at IS NOT NULL
     ORDER BY destination`,
    [backupId, [...destinations]],
  );
  return toProofs(rows);
}

function toProofs(rows: readonly ProofRow[]): Proof[] {
  return rows.map(({ verifiedAt, ...proof }) => ({ ...proof, verifiedAt: verifiedAt.toISOString() }));
}
