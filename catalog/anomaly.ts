import type { Queries } from './open.ts';
import { VERIFIED } from './verified.ts';

/** Less than this share of the last good backup is left: emptied by mistake, or emptied on purpose, which a person knows. */
const LEFT_SHARE = 0.5;
/** A database that was so small may lose most of its rows on any day. */
const TINY_ROWS = 1_000;

interface Size {
  readonly rows: number;
  readonly rawBytes: number;
}

/**
 * Why a backup is anomalous, in words; null if it is not. Compared with the newest verified backup before it that is not
 * anomalous itself, so that the second night of an emptied database is as anomalous as the first.
 */
export async function findAnomaly(
  queries: Queries,
  backup: Size & { readonly id: string; readonly environment: string },
): Promise<string | null> {
  const [before] = await queries.query<Size & { id: string }>(
    `SELECT b.id, b.rows, b.raw_bytes AS "rawBytes" FROM cofre.backups b
     WHERE b.environment = $1 AND b.id < $2 AND NOT b.anomalous AND b.rows IS NOT NULL AND b.raw_bytes IS NOT NULL AND ${VERIFIED}
     ORDER BY b.id DESC LIMIT 1`,
    [backup.environment, backup.id],
  );
  return before === undefined ? null : anomalyOf(backup, before);
}

/** A backup with its sizes; `anomalous`: what was said of it before. */
export interface SizedBackup extends Size {
  readonly id: string;
  readonly anomalous?: boolean;
}

/**
 * Which of an environment's backups, the oldest first, are anomalous, and why: each that `isNew` is compared with the one before it
 * that is not.
 */
export function findAnomalies(
  backups: readonly SizedBackup[],
  isNew: (id: string) => boolean = () => true,
): Map<string, string> {
  const anomalies = new Map<string, string>();
  let before: SizedBackup | undefined;
  for (const backup of backups) {
    const anomaly = before === undefined || !isNew(backup.id) ? null : anomalyOf(backup, before);
    if (anomaly !== null) anomalies.set(backup.id, anomaly);
    else if (backup.anomalous !== true) before = backup;
  }
  return anomalies;
}

/** The same for the two that are to be compared. */
function anomalyOf(backup: Size, before: Size & { readonly id: string }): string | null {
  if (before.rows < TINY_ROWS) return null;
  if (backup.rows >= before.rows * LEFT_SHARE && backup.rawBytes >= before.rawBytes * LEFT_SHARE) return null;
  const inWords = ({ rows, rawBytes }: Size): string => `${rows} rows and ${(rawBytes / 1e6).toFixed(1)} MB of data`;
  return `it has ${inWords(backup)}; the backup before, ${before.id}, has ${inWords(before)}`;
}
