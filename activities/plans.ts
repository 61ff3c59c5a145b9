import type { Origin, Pipeline } from '../catalog/manifest.ts';
import type { Proof } from '../catalog/oldest-proofs.ts';
import type { DestinationConfig } from '../config/destination-schema.ts';
import type { ServerConfig } from '../config/schema.ts';

/**
 * What one run needs, resolved once from the configuration that is current when it starts, so that its steps and hosts
 * cannot disagree about it. It lies in Temporal's history: references to secrets, never their values.
 */
export interface RunPlan {
  readonly configVersion: number;
  readonly environment: {
    readonly id: string;
    readonly stage: string;
    readonly customer: string;
    readonly name?: string;
  };
  /** The hosts that may do it, in order of preference. */
  readonly hosts: readonly string[];
  readonly server: { readonly name: string } & Pick<
    ServerConfig,
    'host' | 'port' | 'tls' | 'backup' | 'admin' | 'maintenanceDatabase'
  >;
  readonly database: string;
  readonly jobs: number;
}

export interface NamedDestination {
  readonly name: string;
  readonly config: DestinationConfig;
}

export interface BackupPlan extends RunPlan {
  readonly backupId: string;
  readonly startedAt: string;
  readonly pipeline: Pipeline;
  /** The configuration lets a restore create what only a superuser may. */
  readonly trusted: boolean;
  readonly destinations: readonly NamedDestination[];
  /** How many verified copies make the backup complete. */
  readonly complete: number;
  /** ISO time by which the run closes, whatever is still missing. */
  readonly endsAt: string;
  /** Where its dump becomes the alias for old consumers, under which key; left out where nobody wants one. */
  readonly alias?: { readonly key: string; readonly to: readonly string[] };
  /** Of the newest verified backup of this environment; null if there is none. */
  readonly lastSizes: { readonly rawBytes: number; readonly sizeBytes: number } | null;
}

export interface RestorePlan extends RunPlan {
  readonly restoreId: string;
  readonly owner: string;
  /** The application's logins: names, and references to their passwords. */
  readonly roles: readonly { readonly name: string; readonly password: string }[];
  readonly trusted: boolean;
  /** For an empty database: the extensions to make. */
  readonly extensions: readonly string[];
  readonly source: RestoreSource;
  readonly keepOldDatabaseFor: string;
  readonly endsAt: string;
}

/** A backup and the copies to read it from, best first; or a dump that another job made, by path. */
export type RestoreSource =
  | {
      readonly type: 'backup';
      readonly backupId: string;
      /** When its data were taken. */
      readonly snapshotAt: string;
      readonly pipeline: Origin;
      readonly rawBytes: number;
      readonly sizeBytes: number;
      readonly copies: readonly { readonly destination: NamedDestination }[];
      /** Marked so, and not accepted by anybody. */
      readonly anomalous: boolean;
      /** Newer backups that were not taken, and why. */
      readonly passedOver: readonly { readonly backupId: string; readonly why: string }[];
    }
  | { readonly type: 'file'; readonly path: string }
  /** Nothing to restore: users, database and extensions are made. */
  | { readonly type: 'empty' };

/** What `ensureDatabase` would do if the database does not exist. */
export interface EnsurePlan {
  /** Without a source yet; `choice` is to be put in. */
  readonly plan: RestorePlan;
  readonly choice: RestoreSource | null;
  /** Why this must not be restored unattended; null if it may. */
  readonly refusal: { readonly code: string; readonly message: string; readonly hint: string } | null;
}

/** Copies from where they are to where they are not: nothing is dumped. */
export interface CopyPlan {
  readonly configVersion: number;
  readonly environment: { readonly id: string; readonly stage: string };
  /** The hosts that may do it, in order of preference. */
  readonly hosts: readonly string[];
  readonly to: readonly NamedDestination[];
  /** Where a copy may be read, in order of preference. */
  readonly from: readonly NamedDestination[];
  /** How many verified copies make a backup of this environment complete. */
  readonly complete: number;
  /** ISO time by which the run closes, whatever is still missing. */
  readonly endsAt: string;
}

/** Copies that are read again, oldest proof first: nothing is copied. */
export interface VerifyPlan {
  readonly configVersion: number;
  readonly environment: { readonly id: string; readonly stage: string };
  /** The hosts that may do it, in order of preference. */
  readonly hosts: readonly string[];
  readonly destinations: readonly NamedDestination[];
  readonly due: readonly Proof[];
  /** ISO time by which the run closes, whatever was not read. */
  readonly endsAt: string;
}

/** The catalog compared with what destinations have. */
export interface SyncPlan {
  readonly configVersion: number;
  readonly destinations: readonly NamedDestination[];
  readonly hosts: readonly string[];
  /** ISO time by which the run closes, whatever could not be looked at. */
  readonly endsAt: string;
}

/** A hold that is set or released, and where its file has to lie or to go. */
export interface HoldPlan {
  readonly configVersion: number;
  /** The stage of an environment that is not in the configuration any more is not known. */
  readonly environment: { readonly id: string; readonly stage: string | null };
  readonly backupId: string;
  /** Null: nothing holds it. Without an `until`, its file could not be read. */
  readonly hold: {
    readonly id: string;
    readonly reason: string;
    readonly until: string | null;
    readonly setBy: string;
    readonly setAt: string;
  } | null;
  /** Where there is a copy, and the hosts that reach it. */
  readonly places: readonly { readonly destination: NamedDestination; readonly hosts: readonly string[] }[];
}

export interface RoutinePlan {
  readonly configVersion: number;
  readonly work:
    | { readonly run: 'backupDatabase' }
    | { readonly run: 'verifyCopies' }
    | { readonly run: 'syncCatalog' }
    | { readonly run: 'copyBackups'; readonly from?: string | undefined; readonly to: readonly string[] };
  readonly environments: readonly { readonly environment: string; readonly server: string }[];
  readonly atOnce: number;
  /** For each server, how many of its environments at once. */
  readonly atOnceByServer: Readonly<Record<string, number>>;
  /** ISO time after which nothing more is started; null if there is no such time. */
  readonly until: string | null;
  /** Only environments without a verified backup since then; null: all. */
  readonly since: string | null;
  /** Every host, and the servers on which it tidies up. */
  readonly hosts: readonly { readonly host: string; readonly servers: readonly RunPlan['server'][] }[];
  /** Where the catalog is backed up, and the hosts that may do it; nowhere where the routine makes no backups. */
  readonly catalogTo: readonly { readonly hosts: readonly string[]; readonly destination: NamedDestination }[];
}

/** The id of the run that removes the database which a restore replaced. */
export function removalRunId(environment: string, restoreId: string): string {
  return `dropOldDatabase/${environment}/${restoreId}`;
}

/** Whether a host reaches a destination: one that names no hosts is reached by all. Pure, because workflows decide by it too. */
export function sees(host: string, { hosts }: DestinationConfig): boolean {
  return hosts === undefined || hosts.includes(host);
}
