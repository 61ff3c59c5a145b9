import { CofreError } from '../errors/error.ts';
import type { Catalog, Queries } from './open.ts';

export interface NewConfiguration {
  /** References to secrets, never their values. */
  readonly document: object;
  /** SHA-256 of the document, lower-case hex: what tells a change from none. */
  readonly digest: string;
  /** The version on which the author built; null if there was none. */
  readonly basedOn: number | null;
  /** Store it although it was not built on the current version. */
  readonly force: boolean;
  readonly appliedBy: string;
}

export interface StoredConfiguration {
  readonly version: number;
  readonly digest: string;
  readonly document: unknown;
  readonly appliedAt: string;
}

/**
 * Stores a configuration as the next version, unless it is the current one already.
 * @throws CofreError `refused` when it was not built on the current version and `force` is not set.
 */
export async function storeConfiguration(
  catalog: Catalog,
  { document, digest, basedOn, force, appliedBy }: NewConfiguration,
): Promise<{ version: number; changed: boolean }> {
  const [current] = await catalog.query<{ version: number; digest: string }>(
    'SELECT version, digest FROM cofre.configurations ORDER BY version DESC LIMIT 1',
  );
  if (current?.digest === digest) return { version: current.version, changed: false };
  if (!force && basedOn !== (current?.version ?? null)) throw staleError(basedOn, current?.version);
  const version = (current?.version ?? 0) + 1;
  // Whoever stored this number a moment ago wins: the key is the lock, and the loser has to look again.
  const stored = await catalog.query(
    `INSERT INTO cofre.configurations (version, digest, document, based_on, forced, applied_by)
     VALUES ($1, $2, $3::jsonb, $4, $5, $6) ON CONFLICT (version) DO NOTHING RETURNING version`,
    [version, digest, JSON.stringify(document), current?.version ?? null, force, appliedBy],
  );
  if (stored.length === 0) throw staleError(basedOn, version);
  return { version, changed: true };
}

/** The configuration that runs are resolved from. @throws CofreError `not-known` when none was ever applied. */
export async function currentConfiguration(catalog: Catalog): Promise<StoredConfiguration> {
  const found = await read(catalog, 'ORDER BY version DESC LIMIT 1', []);
  if (found !== undefined) return found;
  throw new CofreError('not-known', 'the catalog has no configuration yet', { hint: 'cofre apply' });
}

/** One version. @throws CofreError `not-known` when it does not exist. */
export async function configurationVersion(catalog: Catalog, version: number): Promise<StoredConfiguration> {
  const found = await read(catalog, 'WHERE version = $1', [version]);
  if (found !== undefined) return found;
  throw new CofreError('not-known', `the catalog has no version ${version} of the configuration`);
}

async function read(
  queries: Queries,
  which: string,
  values: readonly unknown[],
): Promise<StoredConfiguration | undefined> {
  const [row] = await queries.query<{ version: number; digest: string; document: unknown; applied_at: Date }>(
    `SELECT version, digest, document, applied_at FROM cofre.configurations ${which}`,
    values,
  );
  if (row === undefined) return undefined;
  return { version: row.version, digest: row.digest, document: row.document, appliedAt: row.applied_at.toISOString() };
}

function staleError(basedOn: number | null, current: number | undefined): CofreError {
  const on = basedOn === null ? 'no version' : `version ${basedOn}`;
  const now = current === undefined ? 'there is none' : `the current one is ${current}`;
  return new CofreError('refused', `this configuration builds on ${on}, and ${now}`, {
    hint: 'look at what changed meanwhile and run `cofre apply` again, or overrule it with --force',
  });
}
