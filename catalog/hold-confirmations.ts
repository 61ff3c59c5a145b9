import { COUNTS } from './held.ts';
import type { Catalog, Queries } from './open.ts';

/**
 * Notes that the catalog has forgotten something that destinations still know, so perhaps holds as well: a backup or a hold was
 * taken in from one. Until somebody confirms the holds that were found, nothing may be pruned.
 */
export async function noteUnconfirmed(transaction: Queries, why: string): Promise<void> {
  await transaction.query('INSERT INTO cofre.hold_confirmations (why) VALUES ($1) ON CONFLICT DO NOTHING', [why]);
}

/** Since when the holds of this catalog wait for somebody's confirmation; null where they do not. */
export async function unconfirmedSince(catalog: Queries): Promise<string | null> {
  const [row] = await catalog.query<{ since: Date }>(
    'SELECT unconfirmed_since AS since FROM cofre.hold_confirmations WHERE confirmed_at IS NULL',
  );
  return row?.since.toISOString() ?? null;
}

/** Somebody has looked at the holds that were found. Gives false where none wait for that. */
export async function confirmHolds(catalog: Catalog, by: string): Promise<boolean> {
  const confirmed = await catalog.query(
    `UPDATE cofre.hold_confirmations SET confirmed_by = $1, confirmed_at = clock_timestamp() WHERE confirmed_at IS NULL
     RETURNING unconfirmed_since`,
    [by],
  );
  return confirmed.length > 0;
}

/**
 * Why holds keep a backup from being deleted, in words; null if they do not. Whoever deletes a backup asks this in the transaction that
 * marks it as `deleting`, with its row locked: then no hold can be set in between.
 */
export async function whyKept(transaction: Queries, backupId: string): Promise<string | null> {
  const [row] = await transaction.query<{ unconfirmed: boolean; reason: string | null; until: Date | null }>(
    `SELECT EXISTS (SELECT FROM cofre.hold_confirmations WHERE confirmed_at IS NULL) AS unconfirmed, h.reason, h.until
     FROM (VALUES (1)) AS one LEFT JOIN cofre.holds h ON h.backup_id = $1 AND h.ended IS NULL AND ${COUNTS}`,
    [backupId],
  );
  if (row?.reason != null) return `held until ${row.until?.toISOString() ?? 'it is released'}: ${row.reason}`;
  return row?.unconfirmed === true ? 'the holds of this catalog are not confirmed' : null;
}
