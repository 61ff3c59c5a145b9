import pg from 'pg';

import { CofreError, nativeCode } from '../errors/error.ts';
import { CONNECT_TIMEOUT_MS, sessionSettings, SQLSTATE, type PostgresTarget } from '../postgres/connect.ts';
import { toCatalogError } from './errors.ts';
import { readMigrations } from './migrations.ts';

export type Row = Record<string, unknown>;

/** Runs one statement and gives its rows: the catalog itself, or a transaction in it. */
export interface Queries {
  query<T extends object = Row>(text: string, values?: readonly unknown[]): Promise<T[]>;
}

const POOL_SIZE = 4;
const STATEMENT_TIMEOUT_MS = 30_000;

/** How many migrations this Cofre has; read once. */
let knownVersion: number | undefined;

const types = new pg.TypeOverrides();
// Sizes and counts: a double is exact up to 9 PB.
types.setTypeParser(pg.types.builtins.INT8, Number);

/** An open catalog. Trouble with its server, at any call, is `catalog-unavailable`. */
export class Catalog implements Queries {
  /** How it is reached, for the tools that back it up. */
  readonly target: PostgresTarget;
  readonly #pool: pg.Pool;

  constructor(target: PostgresTarget) {
    this.target = target;
    this.#pool = new pg.Pool({
      ...sessionSettings(target),
      max: POOL_SIZE,
      types,
      statement_timeout: STATEMENT_TIMEOUT_MS,
      // A connection whose other end vanished gives no answer, not even that of the statement timeout.
      query_timeout: STATEMENT_TIMEOUT_MS + CONNECT_TIMEOUT_MS,
      // A frozen worker must not hold the locks of its transaction against the others.
      idle_in_transaction_session_timeout: STATEMENT_TIMEOUT_MS,
    });
    // A connection that is lost says so to nobody in particular; unheard, that would end the process. Its query says it too,
    // and the next one gets another connection.
    this.#pool.on('error', () => undefined);
    this.#pool.on('connect', (client) => client.on('error', () => undefined));
  }

  async query<T extends object = Row>(text: string, values: readonly unknown[] = []): Promise<T[]> {
    return await this.#rows<T>(this.#pool, text, values);
  }

  /** Lends a transaction: committed when `use` resolves, rolled back when it throws. */
  async transaction<T>(use: (transaction: Queries) => Promise<T>): Promise<T> {
    const client = await this.#pool.connect().catch((cause: unknown) => {
      throw toCatalogError(cause, this.target);
    });
    let broken = false;
    try {
      await this.#rows(client, 'BEGIN');
      const result = await use({ query: (text, values) => this.#rows(client, text, values) });
      await this.#rows(client, 'COMMIT');
      return result;
    } catch (error) {
      // A connection in an unknown state is closed, not given to the next caller.
      broken = await client.query('ROLLBACK').then(
        () => false,
        () => true,
      );
      throw error;
    } finally {
      client.release(broken);
    }
  }

  async #rows<T extends object>(
    connection: pg.Pool | pg.PoolClient,
    text: string,
    values: readonly unknown[] = [],
  ): Promise<T[]> {
    try {
      return (await connection.query<T>(text, [...values])).rows;
    } catch (cause) {
      throw toCatalogError(cause, this.target);
    }
  }

  /** Ends the connections. May be called twice. */
  async close(): Promise<void> {
    if (!this.#pool.ending) await this.#pool.end();
  }
}

/**
 * Opens the catalog for the runtime role and checks that its schema is the one this Cofre knows.
 * @throws CofreError `catalog-version` for another schema or none; `catalog-unavailable` when it cannot be reached.
 */
export async function openCatalog(target: PostgresTarget): Promise<Catalog> {
  const catalog = new Catalog(target);
  try {
    await requireVersion(catalog);
    return catalog;
  } catch (error) {
    await catalog.close();
    throw error;
  }
}

/**
 * Asked again before each run: a newer Cofre may have been installed beside the worker that has it open.
 * @throws CofreError `catalog-version` for another schema than this Cofre's, or none.
 */
export async function requireVersion(catalog: Catalog): Promise<void> {
  knownVersion ??= (await readMigrations()).length;
  const known = knownVersion;
  const found = await appliedVersion(catalog);
  if (found > known) throw newerCatalog(found, known);
  if (found === known) return;
  throw new CofreError(
    'catalog-version',
    found === 0
      ? 'there is no catalog in this database yet'
      : `the catalog has version ${found}, this Cofre needs ${known}`,
    { hint: 'cofre apply' },
  );
}

/** The version of the catalog's schema; 0 where there is none that this role can read. */
export async function appliedVersion(catalog: Catalog): Promise<number> {
  try {
    const [row] = await catalog.query<{ version: number }>(
      'SELECT coalesce(max(version), 0)::int AS version FROM cofre.migrations',
    );
    return row?.version ?? 0;
  } catch (error) {
    // No such table; or one that nobody has granted to this role: both are mended by `cofre apply`.
    const state = error instanceof CofreError ? nativeCode(error.cause) : undefined;
    if (state === SQLSTATE.undefinedTable || state === SQLSTATE.insufficientPrivilege) return 0;
    throw error;
  }
}

/** The refusal to work on a schema that this Cofre does not know. */
export function newerCatalog(found: number, known: number): CofreError {
  return new CofreError(
    'catalog-version',
    `the catalog was written by a newer Cofre: its version is ${found}, this one knows ${known}`,
    { hint: 'upgrade this Cofre' },
  );
}
