import type { Catalog } from './open.ts';
import { VERIFIED, verifiedIn } from './verified.ts';

/** How an environment's backups stand. Times are ISO 8601, UTC. */
export interface Health {
  readonly environment: string;
  /** The newest backup with a copy in a configured destination that was read back. */
  readonly verified: { readonly id: string; readonly dataFrom: string; readonly anomalous: boolean } | null;
  /** The newest backup that failed, if none was verified since; or that one, if it ended early and lacks copies. */
  readonly failure: {
    readonly id: string;
    readonly state: 'failed' | 'incomplete';
    readonly at: string;
    readonly code: string;
    readonly message: string;
  } | null;
  /** The newest restore, if it failed. */
  readonly restoreFailure: { readonly id: string; readonly code: string; readonly message: string } | null;
  /** Copies that backups should have and do not have, or that were found damaged. */
  readonly debts: number;
  /** Backups whose copies, whole or doubtful, are all in destinations that have left the configuration: no restore finds them. Null if none. */
  readonly outside: { readonly backups: number; readonly destinations: readonly string[] } | null;
}

interface Row {
  environment: string;
  verified_id: string | null;
  data_from: Date | null;
  anomalous: boolean | null;
  failed_id: string | null;
  failed_at: Date | null;
  failed_state: 'failed' | 'incomplete' | null;
  error_code: string | null;
  error_message: string | null;
  restore_id: string | null;
  restore_code: string | null;
  restore_message: string | null;
  debts: number;
  outside_backups: number;
  outside_destinations: string[] | null;
}

/** SQL: whether a copy may be whole. */
const HOPEFUL = `state IN ('verified', 'uploaded', 'suspect')`;

/**
 * How these environments stand, in their order, with `destinations` configured: one statement, because there may be
 * hundreds.
 */
export async function readHealth(
  catalog: Catalog,
  environments: readonly string[],
  destinations: readonly string[],
): Promise<Health[]> {
  const rows = await catalog.query<Row>(
    `SELECT e.environment, v.id AS verified_id, v.data_from, v.anomalous, f.id AS failed_id, f.finished_at AS failed_at, f.state AS failed_state,
       f.error_code,
       f.error_message, (
         SELECT count(*) FROM cofre.copies c JOIN cofre.backups b ON b.id = c.backup_id
         WHERE b.environment = e.environment AND b.state IN ('complete', 'incomplete') AND c.state NOT IN ('verified', 'deleting', 'deleted')
           AND c.destination = ANY($2::text[])
       ) AS debts, r.id AS restore_id, r.error_code AS restore_code, r.error_message AS restore_message,
       o.backups AS outside_backups, o.destinations AS outside_destinations
     FROM unnest($1::text[]) WITH ORDINALITY AS e (environment, place)
     LEFT JOIN LATERAL (
       SELECT b.id, coalesce(m.snapshot_at, b.started_at) AS data_from, b.anomalous
       FROM cofre.backups b LEFT JOIN cofre.manifests m ON m.backup_id = b.id
       WHERE b.environment = e.environment AND ${VERIFIED} AND ${verifiedIn('$2')}
       ORDER BY b.id DESC LIMIT 1
     ) v ON true
     LEFT JOIN LATERAL (
       SELECT b.id, b.finished_at, b.state, b.error_code, b.error_message FROM cofre.backups b
       WHERE b.environment = e.environment
         AND (b.state = 'failed' AND b.id > coalesce(v.id, '') OR b.state = 'incomplete' AND b.id = v.id AND b.error_code IS NOT NULL)
       ORDER BY b.id DESC LIMIT 1
     ) f ON true
     LEFT JOIN LATERAL (
       SELECT newest.* FROM (
         SELECT r.id, r.state, r.error_code, r.error_message FROM cofre.restores r
         WHERE r.environment = e.environment AND r.state <> 'running' ORDER BY r.id DESC LIMIT 1
       ) newest WHERE newest.state = 'failed'
     ) r ON true
     LEFT JOIN LATERAL (
       SELECT count(DISTINCT b.id) AS backups, array_agg(DISTINCT c.destination ORDER BY c.destination) AS destinations
       FROM cofre.backups b JOIN cofre.copies c ON c.backup_id = b.id AND c.${HOPEFUL}
       WHERE b.environment = e.environment AND b.state IN ('complete', 'incomplete')
         AND NOT EXISTS (SELECT FROM cofre.copies i WHERE i.backup_id = b.id AND i.destination = ANY($2::text[]) AND i.${HOPEFUL})
     ) o ON true
     ORDER BY e.place`,
    [[...environments], [...destinations]],
  );
  return rows.map(toHealth);
}

function toHealth(row: Row): Health {
  const { verified_id: verified, data_from: dataFrom, failed_id: failed, failed_at: at, failed_state: state } = row;
  return {
    environment: row.environment,
    verified:
      verified === null || dataFrom === null
        ? null
        : { id: verified, dataFrom: dataFrom.toISOString(), anomalous: row.anomalous === true },
    failure:
      failed === null || at === null || state === null
        ? null
        : {
            id: failed,
            state,
            at: at.toISOString(),
            code: row.error_code ?? 'unexpected',
            message: row.error_message ?? '',
          },
    restoreFailure:
      row.restore_id === null
        ? null
        : { id: row.restore_id, code: row.restore_code ?? 'unexpected', message: row.restore_message ?? '' },
    debts: row.debts,
    outside:
      row.outside_destinations === null
        ? null
        : { backups: row.outside_backups, destinations: row.outside_destinations },
  };
}
