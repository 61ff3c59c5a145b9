import type { BackupState } from './backup-states.ts';
import type { Queries } from './open.ts';

/** What decides whether the files that a backup has left on a host are still needed. */
export interface BackupLeft {
  readonly environment: string;
  readonly state: BackupState;
  readonly errorCode: string | null;
  /** It has a verified copy now. */
  readonly verified: boolean;
  /** A later backup of the same environment has one, and is not marked as anomalous. */
  readonly overtaken: boolean;
}

const HAS_COPY = (backup: string): string =>
  `EXISTS (SELECT FROM cofre.copies c WHERE c.backup_id = ${backup}.id AND c.state = 'verified')`;

/** How these backups stand, as far as the catalog knows them. */
export async function backupsLeft(catalog: Queries, ids: readonly string[]): Promise<Map<string, BackupLeft>> {
  const rows = await catalog.query<BackupLeft & { id: string }>(
    `SELECT b.id, b.environment, b.state, b.error_code AS "errorCode", ${HAS_COPY('b')} AS verified, EXISTS (
       SELECT FROM cofre.backups later WHERE later.environment = b.environment AND later.kind = b.kind AND later.id > b.id
         AND NOT later.anomalous AND later.state IN ('complete', 'incomplete') AND ${HAS_COPY('later')}
     ) AS overtaken
     FROM cofre.backups b WHERE b.id = ANY($1::text[])`,
    [[...ids]],
  );
  return new Map(rows.map(({ id, ...row }) => [id, row]));
}

/** The environment of each of these restores, and whether it still runs. */
export async function restoresLeft(
  catalog: Queries,
  ids: readonly string[],
): Promise<Map<string, { environment: string; running: boolean }>> {
  const rows = await catalog.query<{ id: string; environment: string; running: boolean }>(
    `SELECT id, environment, state = 'running' AS running FROM cofre.restores WHERE id = ANY($1::text[])`,
    [[...ids]],
  );
  return new Map(rows.map(({ id, ...row }) => [id, row]));
}

/** Of these last parts of restores' ids, those that the catalog knows, and whether a restore with it still runs. */
export async function restoresByShortId(catalog: Queries, ids: readonly string[]): Promise<Map<string, boolean>> {
  const rows = await catalog.query<{ short: string; running: boolean }>(
    `SELECT right(id, 8) AS short, bool_or(state = 'running') AS running
       FROM cofre.restores WHERE right(id, 8) = ANY($1::text[]) GROUP BY 1`,
    [[...ids]],
  );
  return new Map(rows.map(({ short, running }) => [short, running]));
}
