import type { FailureNote } from './errors.ts';
import type { Catalog, Queries } from './open.ts';
import { verifiedIn } from './verified.ts';

/** What keeps a destination from being forgotten: how many backups need it, and the first of them. */
export interface Needed {
  readonly count: number;
  readonly backups: readonly string[];
  /** Of which environments they are. */
  readonly environments: readonly string[];
}

const TOLD = 20;

/**
 * SQL: whether the backup `b` still needs its copy `d`: it runs, or nothing else of it is verified in the other configured
 * destinations, $2, while something is there. What lies in one that has left the configuration no restore finds.
 */
const NEEDED = `b.state = 'running' OR b.state IN ('complete', 'incomplete') AND d.state NOT IN ('missing', 'deleting')
  AND NOT ${verifiedIn('$2')}`;

/** The backups of which only this destination has something, or that may still be writing there. */
export async function neededIn(catalog: Queries, destination: string, others: readonly string[]): Promise<Needed> {
  const rows = await catalog.query<{ id: string; environment: string }>(
    `SELECT b.id, b.environment FROM cofre.copies d JOIN cofre.backups b ON b.id = d.backup_id
     WHERE d.destination = $1 AND d.state <> 'deleted' AND (${NEEDED}) ORDER BY b.id DESC`,
    [destination, [...others]],
  );
  return {
    count: rows.length,
    backups: rows.slice(0, TOLD).map(({ id }) => id),
    environments: [...new Set(rows.map(({ environment }) => environment))].sort(),
  };
}

/** How many of the backups of which only `destination` has something had a copy in `to` that was given up: it is not made again. */
export async function givenUpIn(
  catalog: Queries,
  destination: string,
  others: readonly string[],
  to: string,
): Promise<number> {
  const [row] = await catalog.query<{ count: number }>(
    `SELECT count(*) AS count FROM cofre.copies d JOIN cofre.backups b ON b.id = d.backup_id
       JOIN cofre.copies t ON t.backup_id = b.id AND t.destination = $3 AND t.state IN ('deleting', 'deleted')
     WHERE d.destination = $1 AND d.state <> 'deleted' AND (${NEEDED})`,
    [destination, [...others], to],
  );
  return row?.count ?? 0;
}

/**
 * Forgets what a destination has: its copies count no more, for restores and debts. Those that are still needed stay; gives how
 * many were forgotten.
 */
export async function forgetCopies(
  catalog: Catalog,
  destination: string,
  others: readonly string[],
  note: FailureNote,
): Promise<number> {
  return await catalog.transaction(async (transaction) => {
    // In the order of their ids, as everybody who takes one of these rows takes only one.
    await transaction.query(
      `SELECT b.id FROM cofre.backups b WHERE EXISTS (SELECT FROM cofre.copies d WHERE d.backup_id = b.id AND d.destination = $1
         AND d.state <> 'deleted') ORDER BY b.id FOR UPDATE`,
      [destination],
    );
    const forgotten = await transaction.query(
      `UPDATE cofre.copies d SET state = 'deleted', error_code = $3, error_message = $4, error_hint = $5, updated_at = clock_timestamp()
       FROM cofre.backups b WHERE b.id = d.backup_id AND d.destination = $1 AND d.state <> 'deleted' AND NOT (${NEEDED})
       RETURNING d.backup_id`,
      [destination, [...others], note.code, note.message, note.hint ?? null],
    );
    return forgotten.length;
  });
}
