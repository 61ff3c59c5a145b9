import type { OpenArchive } from '../sources/postgres/open-archive.ts';

// What the steps on a host answer. It lies in Temporal's history: small, and without secrets.

export interface DumpReport {
  readonly attempt: string;
  readonly rows: number;
  readonly tables: number;
  readonly rawBytes: number;
  readonly warnings: readonly string[];
  /** In words, why it is marked as anomalous; null if it is not. */
  readonly anomaly: string | null;
  readonly tookMs: number;
}

export interface ArchiveReport {
  /** Relative to the backup's folder. */
  readonly key: string;
  readonly sizeBytes: number;
  readonly sha256: string;
}

export interface RestoreCheck {
  /** OID of the database that would be replaced; null: there is none. */
  readonly liveOid: number | null;
  readonly serverVersion: string;
  /** Another server than the last one, and an empty one. */
  readonly newServer: boolean;
  readonly rolesToCreate: readonly string[];
  /** Of roles that exist, in words. */
  readonly memberships: readonly string[];
  readonly extensions: readonly string[];
  readonly warnings: readonly string[];
}

export interface FetchReport {
  readonly attempt: string;
  readonly bytes: number;
  readonly from: string;
}

/** What `fetched.json` says. */
export interface FetchedArchive {
  readonly report: FetchReport;
  readonly archive: OpenArchive;
}

export interface LoadReport {
  readonly name: string;
  readonly oid: number;
  readonly rows: number;
  readonly tables: number;
  /** In words: what it was compared with. */
  readonly compared: string;
  readonly warnings: readonly string[];
  readonly tookMs: number;
  /** Of it, how long each part took, in order. */
  readonly phases: readonly { readonly phase: string; readonly tookMs: number }[];
}

export interface SwapReport {
  /** The replaced database, as it is called now; null: there was none. */
  readonly oldDatabase: { readonly name: string; readonly oid: number } | null;
}
