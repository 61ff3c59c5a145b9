import { randomUUID } from 'node:crypto';

import { CofreError } from '../errors/error.ts';
import { lockBackup } from './backups.ts';
import { COUNTS } from './held.ts';
import { holdBytes, type Hold } from './hold.ts';
import { noteUnconfirmed } from './hold-confirmations.ts';
import type { Catalog, Queries } from './open.ts';

/** The hold of a backup that nobody has released or replaced; it may be over. */
export interface LiveHold extends Omit<Hold, 'until'> {
  /** Null: until it is released, because its file could not be read. */
  readonly until: string | null;
  /** The destination whose file told it; null where it was set in this catalog. */
  readonly foundIn: string | null;
  /** Somebody has begun to release it: its files go, and it counts until the last of them is gone. */
  readonly releasing: { readonly by: string; readonly at: string } | null;
  /** Whether it counts now. */
  readonly counts: boolean;
}

interface HoldRow {
  readonly id: string;
  readonly backup_id: string;
  readonly environment: string;
  readonly reason: string;
  readonly until: Date | null;
  readonly set_by: string;
  readonly set_at: Date;
  readonly found_in: string | null;
  readonly releasing_by: string | null;
  readonly releasing_at: Date | null;
  readonly counts: boolean;
}

/** The live holds of these backups, the oldest backup first; of every backup unless told. */
export async function liveHolds(catalog: Queries, backupIds?: readonly string[]): Promise<LiveHold[]> {
  const rows = await catalog.query<HoldRow>(
    `SELECT h.*, b.environment, ${COUNTS} AS counts FROM cofre.holds h JOIN cofre.backups b ON b.id = h.backup_id
     WHERE h.ended IS NULL AND ($1::text[] IS NULL OR h.backup_id = ANY($1)) ORDER BY h.backup_id`,
    [backupIds === undefined ? null : [...backupIds]],
  );
  return rows.map((row) => ({
    id: row.id,
    backupId: row.backup_id,
    environment: row.environment,
    reason: row.reason,
    until: row.until?.toISOString() ?? null,
    setBy: row.set_by,
    setAt: row.set_at.toISOString(),
    foundIn: row.found_in,
    releasing:
      row.releasing_by === null || row.releasing_at === null
        ? null
        : { by: row.releasing_by, at: row.releasing_at.toISOString() },
    counts: row.counts,
  }));
}

export async function liveHold(catalog: Queries, backupId: string): Promise<LiveHold | undefined> {
  return (await liveHolds(catalog, [backupId]))[0];
}

/** What its file in every destination must say; undefined where it must have none, or where nobody knows what it says. */
export function fileOf(hold: LiveHold | undefined): Hold | undefined {
  if (hold === undefined || hold.until === null || hold.releasing !== null) return undefined;
  const { id, backupId, environment, reason, until, setBy, setAt } = hold;
  return { id, backupId, environment, reason, until, setBy, setAt };
}

/**
 * Holds a backup; what held it before is replaced. May be called again with the same hold.
 * @throws CofreError `refused` for a backup that is not closed with a copy, and for a hold that ends before the one that stands: a
 * hold may be extended and never shortened.
 */
export async function setHold(catalog: Catalog, hold: Hold): Promise<void> {
  holdBytes(hold);
  await catalog.transaction(async (transaction) => {
    const backup = await lockBackup(transaction, hold.backupId);
    if (backup.state !== 'complete' && backup.state !== 'incomplete')
      throw new CofreError('refused', `the backup ${hold.backupId} is ${backup.state}: there is nothing to hold`, {
        hint: `cofre backups ${backup.environment} lists the others`,
      });
    const known = await findHold(transaction, hold);
    if (known === 'live') return;
    if (known === 'ended') throw new CofreError('refused', `another hold of ${hold.backupId} took its place`);
    const stands = await liveHold(transaction, hold.backupId);
    const lasts = stands?.counts === true && stands.releasing === null ? stands.until : null;
    if (lasts !== null && lasts > hold.until)
      throw new CofreError('refused', `${hold.backupId} is held until ${lasts} already, by ${stands?.setBy}`, {
        hint: `a hold may be extended and not shortened: cofre release ${hold.backupId} first`,
      });
    await insertHold(transaction, hold, { foundIn: null });
  });
}

/**
 * Takes a hold that a destination knows and the catalog does not. `same`: it stands already; `ended`: it was released or replaced
 * here; `shorter`: what stands here lasts longer.
 */
export async function takeHold(
  catalog: Catalog,
  hold: Hold,
  destination: string,
): Promise<'taken' | 'same' | 'ended' | 'shorter'> {
  return await catalog.transaction(async (transaction) => {
    await lockBackup(transaction, hold.backupId);
    const known = await findHold(transaction, hold);
    if (known !== 'unknown') return known === 'live' ? 'same' : 'ended';
    const stands = await liveHold(transaction, hold.backupId);
    if (stands?.until != null && stands.until >= hold.until) return 'shorter';
    await insertHold(transaction, hold, { foundIn: destination });
    await noteUnconfirmed(transaction, `the hold of ${hold.backupId} was found in ${destination}`);
    return 'taken';
  });
}

/** Holds a backup, until somebody releases it, whose hold in a destination cannot be read. Gives false where it has a hold already. */
export async function takeUnreadable(
  catalog: Catalog,
  backupId: string,
  destination: string,
  why: string,
): Promise<boolean> {
  return await catalog.transaction(async (transaction) => {
    const { environment } = await lockBackup(transaction, backupId);
    if ((await liveHold(transaction, backupId)) !== undefined) return false;
    const reason = `hold.json in ${destination} cannot be read: ${why}`;
    const setAt = new Date().toISOString();
    const hold = { id: randomUUID(), backupId, environment, reason, until: null, setBy: 'unknown', setAt };
    await insertHold(transaction, hold, { foundIn: destination });
    await noteUnconfirmed(transaction, `the hold of ${backupId} in ${destination} cannot be read`);
    return true;
  });
}

/** Begins to release what holds a backup, and gives it; undefined where nothing holds it. It counts until `endRelease`. */
export async function beginRelease(catalog: Catalog, backupId: string, by: string): Promise<LiveHold | undefined> {
  return await catalog.transaction(async (transaction) => {
    await lockBackup(transaction, backupId);
    await transaction.query(
      `UPDATE cofre.holds SET releasing_by = $2, releasing_at = clock_timestamp()
       WHERE backup_id = $1 AND ended IS NULL AND releasing_at IS NULL`,
      [backupId, by],
    );
    return await liveHold(transaction, backupId);
  });
}

/** Ends a hold whose release was begun. May be called again. @throws CofreError `refused` when it was extended meanwhile. */
export async function endRelease(catalog: Catalog, backupId: string, id: string): Promise<void> {
  await catalog.transaction(async (transaction) => {
    await lockBackup(transaction, backupId);
    await transaction.query(
      `UPDATE cofre.holds SET ended = 'released', ended_by = releasing_by, ended_at = clock_timestamp()
       WHERE backup_id = $1 AND id = $2 AND ended IS NULL AND releasing_at IS NOT NULL`,
      [backupId, id],
    );
    const stands = await liveHold(transaction, backupId);
    if (stands !== undefined)
      throw new CofreError('refused', `${backupId} was held again by ${stands.setBy} meanwhile`);
  });
}

/**
 * Keeps the hold of a backup as it is, and the file beside one copy for the caller alone, until the transaction ends: who sets or releases
 * a hold comes before or after it. Shared, so that a destination that answers slowly keeps no other from its file.
 * @throws CofreError `not-known`: of a backup that the catalog has forgotten no hold may go.
 */
export async function lockHoldFile(
  transaction: Queries,
  { backupId, destination }: { readonly backupId: string; readonly destination: string },
): Promise<void> {
  await lockBackup(transaction, backupId, 'SHARE');
  await transaction.query('SELECT FROM cofre.copies WHERE backup_id = $1 AND destination = $2 FOR UPDATE', [
    backupId,
    destination,
  ]);
}

/** Remembers whose file lies beside a copy; null: nobody's. The caller has locked the copy or its backup. */
export async function recordHoldFile(
  transaction: Queries,
  { backupId, destination }: { readonly backupId: string; readonly destination: string },
  id: string | null,
): Promise<void> {
  await transaction.query('UPDATE cofre.copies SET hold_id = $3 WHERE backup_id = $1 AND destination = $2', [
    backupId,
    destination,
    id,
  ]);
}

/** The copies in these destinations beside which the file of a hold that counts should lie and does not. */
export async function missingHoldFiles(
  catalog: Queries,
  destinations: readonly string[],
): Promise<{ backupId: string; destination: string }[]> {
  return await catalog.query(
    `SELECT c.backup_id AS "backupId", c.destination FROM cofre.holds h JOIN cofre.backups b ON b.id = h.backup_id
       JOIN cofre.copies c ON c.backup_id = h.backup_id
     WHERE h.ended IS NULL AND h.releasing_at IS NULL AND h.until IS NOT NULL AND ${COUNTS} AND b.state IN ('complete', 'incomplete')
       AND c.destination = ANY($1::text[]) AND c.state IN ('uploaded', 'verified', 'suspect') AND c.hold_id IS DISTINCT FROM h.id
     ORDER BY c.backup_id, c.destination`,
    [[...destinations]],
  );
}

async function findHold(transaction: Queries, { backupId, id }: Hold): Promise<'unknown' | 'live' | 'ended'> {
  const [row] = await transaction.query<{ ended: string | null }>(
    'SELECT ended FROM cofre.holds WHERE backup_id = $1 AND id = $2',
    [backupId, id],
  );
  if (row === undefined) return 'unknown';
  return row.ended === null ? 'live' : 'ended';
}

async function insertHold(
  transaction: Queries,
  hold: Omit<Hold, 'until'> & { readonly until: string | null },
  { foundIn }: { readonly foundIn: string | null },
): Promise<void> {
  await transaction.query(
    `UPDATE cofre.holds SET ended = 'replaced', ended_by = $2, ended_at = clock_timestamp() WHERE backup_id = $1 AND ended IS NULL`,
    [hold.backupId, hold.setBy],
  );
  await transaction.query(
    `INSERT INTO cofre.holds (backup_id, id, reason, until, set_by, set_at, found_in) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
    [hold.backupId, hold.id, hold.reason, hold.until, hold.setBy, hold.setAt, foundIn],
  );
}
