/**
 * The manifest: the file `manifest.json` that makes the objects beside it a backup.
 * Written last, created only if absent, the same bytes in every destination. No secret, no sample data.
 * `docs/format.md` is its description for people who restore without Cofre.
 */
export const MANIFEST_FORMAT = 1;

/** How Cofre dumps. */
export type Pipeline = 'staged' | 'streamed';

/** How a backup came to be: `adopted` is a dump that another job made. */
export type Origin = Pipeline | 'adopted';

export interface Manifest {
  readonly format: typeof MANIFEST_FORMAT;
  readonly backupId: string;
  /** The folder of the objects below the backup's own: one dump, one attempt. */
  readonly attempt: string;
  readonly environment: { id: string; stage: string; customer: string; name?: string };
  readonly kind: 'database';
  readonly mode: 'full';
  readonly pipeline: Origin;
  readonly host: string;
  readonly configVersion: number;
  /** ISO 8601, UTC. The data are those of `snapshotAt`. */
  readonly startedAt: string;
  readonly snapshotAt: string;
  readonly finishedAt: string;
  readonly tools: Readonly<Record<string, string>>;
  /** These two are null for an adopted dump, and only for that: whoever made it did not write them down. */
  readonly server: ServerFacts | null;
  readonly database: DatabaseFacts | null;
  readonly content: DumpContent;
  readonly objects: readonly ManifestObject[];
}

/** One object of the backup; `key` is relative to the backup's folder: `<attempt>/database.tar`. */
export interface ManifestObject {
  readonly key: string;
  readonly sizeBytes: number;
  readonly sha256: string;
}

export interface ServerFacts {
  /** `pg_control_system().system_identifier`, as text because it is wider than a JavaScript number. */
  readonly systemIdentifier: string;
  readonly version: string;
  /** `server_version_num`, such as 150020. */
  readonly versionNumber: number;
  readonly inRecovery: boolean;
  /** Of a standby: how much older than its clock its data were. `snapshotAt` takes it into account. */
  readonly lagMs?: number;
}

/** What a restore needs that a dump does not carry. */
export interface DatabaseFacts {
  readonly name: string;
  readonly oid: number;
  readonly owner: string;
  readonly encoding: string;
  readonly collate: string;
  readonly ctype: string;
  readonly localeProvider: 'libc' | 'icu' | 'builtin';
  readonly icuLocale: string | null;
  readonly icuRules: string | null;
  readonly collationVersion: string | null;
  readonly connectionLimit: number;
  readonly comment: string | null;
  /** `datacl`; null means the built-in default. */
  readonly privileges: readonly Privilege[] | null;
  /** `ALTER DATABASE … SET` (role null) and `ALTER ROLE … IN DATABASE … SET`. */
  readonly settings: readonly DatabaseSetting[];
  readonly extensions: readonly ExtensionFacts[];
  /** Every role that the database's objects, privileges or policies name. */
  readonly roles: readonly RoleFacts[];
  readonly memberships: readonly Membership[];
  /** What only a superuser may create, so that a restore can decide before it starts. */
  readonly privileged: readonly PrivilegedObject[];
  readonly sizeBytes: number;
  /** What belongs to others than the owner of the database; older manifests have none. */
  readonly owners?: readonly ObjectOwner[];
  /** What an admin that is no superuser must know before it restores; older manifests have none. */
  readonly needs?: RestoreNeeds;
}

/** What takes more than to own the database. Objects are named as `pg_identify_object` does, at most a hundred of a kind. */
export interface RestoreNeeds {
  /** Tables whose row-level security holds for their owners too: who restores must bypass it. */
  readonly forcedRowSecurity: readonly string[];
  /** Objects whose rights only a superuser can give back: others than their owners granted them, or they are the system's or an extension's. */
  readonly superusersRights: readonly string[];
  /** Tables that their own owner may not read. */
  readonly closedToOwners: readonly string[];
  /** Roles with default privileges: only who may act for them can restore those. */
  readonly defaultPrivileges: readonly string[];
  /** Extensions with tables of their own whose rows are in the dump. */
  readonly extensionTables: readonly string[];
  /** The schema public is not as a server before 15 makes it, where it belongs to a superuser. */
  readonly changedPublic: boolean;
}

export interface Membership {
  readonly role: string;
  readonly member: string;
  readonly admin: boolean;
  /** From server 16 on, where they belong to the membership. */
  readonly inherit?: boolean;
  readonly set?: boolean;
}

/** `type` and `identity` as the server's `pg_identify_object` gives them: `table`, `public."My table"`. */
export interface ObjectOwner {
  readonly type: string;
  readonly identity: string;
  readonly owner: string;
}

export interface Privilege {
  /** '' is PUBLIC. */
  readonly grantee: string;
  readonly grantor: string;
  readonly privilege: string;
  readonly grantable: boolean;
}

export interface DatabaseSetting {
  readonly role: string | null;
  readonly name: string;
  /** null for what an application keeps in a setting of its own (`app.jwt_secret`): that may be a secret, and is in the archive alone. */
  readonly value: string | null;
  /** Only a superuser may set it. */
  readonly superuser: boolean;
}

export interface ExtensionFacts {
  readonly name: string;
  readonly version: string;
  readonly schema: string;
}

export interface RoleFacts {
  readonly name: string;
  readonly login: boolean;
  readonly superuser: boolean;
  readonly inherit: boolean;
  readonly createRole: boolean;
  readonly createDatabase: boolean;
  readonly replication: boolean;
  readonly bypassRowSecurity: boolean;
  readonly connectionLimit: number;
}

export interface PrivilegedObject {
  /** The words of `pg_restore --list`: `FUNCTION`, `EVENT TRIGGER`, `TYPE`, … or `SETTING`. */
  readonly type: string;
  readonly schema: string | null;
  /** As `pg_restore --list` prints it: for a function its name and argument types. */
  readonly name: string;
}

/** What the dump holds, as of its snapshot. */
export interface DumpContent {
  readonly tables: readonly TableContent[];
  /** `sha256` is that of the text which `sha256sum` prints for the raw files `blob_<oid>.dat`, by oid; null without any. */
  readonly largeObjects: { readonly count: number; readonly rawBytes: number; readonly sha256: string | null };
  /** Staged only: SHA-256 of what `sha256sum` prints for `toc.dat` and the lists of large objects. */
  readonly tocSha256?: string;
  readonly rows: number;
  readonly rawBytes: number;
  /** null for an adopted dump. */
  readonly inventory: Inventory | null;
}

export interface TableContent {
  readonly schema: string;
  readonly name: string;
  readonly rows: number;
  /** Bytes and SHA-256 of the raw data, as a directory-format dump has them in a file, whichever the pipeline. */
  readonly rawBytes: number | null;
  readonly rawSha256: string | null;
  /** The member of `database.tar`, without `.zst`; null in a streamed or adopted dump. */
  readonly file: string | null;
}

/** Counts of objects that are not an extension's and not the system's, taken with the same statement at both ends. */
export interface Inventory {
  readonly schemas: number;
  readonly tables: number;
  readonly columns: number;
  readonly views: number;
  readonly materializedViews: number;
  readonly populatedMaterializedViews: number;
  readonly sequences: number;
  readonly indexes: number;
  readonly validIndexes: number;
  readonly constraints: number;
  readonly validConstraints: number;
  readonly triggers: number;
  readonly functions: number;
  readonly types: number;
  readonly policies: number;
  readonly rules: number;
  readonly eventTriggers: number;
  readonly publications: number;
  readonly foreignTables: number;
  readonly largeObjects: number;
}
