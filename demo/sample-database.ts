import { readFile } from 'node:fs/promises';

import pg from 'pg';

import type { Secret } from '../config/secret.ts';
import { CofreError } from '../errors/error.ts';
import { withClient, type PostgresTarget } from '../postgres/connect.ts';

export interface SampleOptions {
  readonly database: string;
  /** The login that owns everything; made if it is not there, and given `ownerPassword` either way. */
  readonly owner: string;
  readonly ownerPassword: Secret;
  /** About how many rows all tables have together; 200 000 (some 85 MB) if not given. */
  readonly rows?: number;
}

export interface SampleReport {
  readonly database: string;
  readonly schemas: number;
  readonly tables: number;
  readonly rows: number;
  readonly largeObjects: number;
  readonly sizeBytes: number;
  readonly durationMs: number;
}

const DEFAULT_ROWS = 200_000;

/** Roles that the sample's privileges and policies name. Nobody can log in as `erp_app` until it is given a password. */
export const SAMPLE_ROLES: Readonly<Record<string, string>> = {
  erp_leitura: 'NOLOGIN',
  erp_escrita: 'NOLOGIN',
  erp_app: 'LOGIN CONNECTION LIMIT 50',
};

const EXTENSIONS: Readonly<Record<string, string>> = {
  pgcrypto: 'extensoes',
  pg_trgm: 'extensoes',
  unaccent: 'extensoes',
  citext: 'extensoes',
  hstore: 'public',
  btree_gist: 'public',
  'uuid-ossp': 'public',
};

/** In the order in which they need each other; data before keys, indexes and triggers, because that is faster. */
const FILES = [
  ...['types', 'cadastro', 'estoque', 'vendas', 'fiscal', 'financeiro'],
  ...['data-lists', 'data-cadastro', 'data-estoque', 'data-vendas', 'data-fiscal', 'data-financeiro'],
  ...['keys', 'programs', 'access', 'comments'],
];

/**
 * Makes a database like that of a Brazilian ERP, with invented data: the same for the same number of rows, large
 * objects' numbers included. `admin` makes the roles, the database and its extensions; all else is made by the owner.
 * @throws CofreError `already-exists` if there is a database of that name; what fails on the way leaves none behind;
 *   `bad-input` if `rows` is no number of rows.
 */
export async function createSampleDatabase(admin: PostgresTarget, options: SampleOptions): Promise<SampleReport> {
  const startedAt = performance.now();
  const rows = options.rows ?? DEFAULT_ROWS;
  if (!Number.isSafeInteger(rows) || rows < 1) {
    throw new CofreError('bad-input', `${rows} is not a number of rows`, {
      hint: 'give a whole number, such as 10000',
    });
  }
  const inDatabase = { ...admin, database: options.database };
  await withClient(admin, async (client) => {
    const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [options.database]);
    if (rowCount !== 0) {
      throw new CofreError('already-exists', `there is a database ${options.database} on ${admin.host}:${admin.port}`, {
        hint: 'drop it first, or choose another name for the sample',
      });
    }
    await createRoles(client, options);
    await client.query(
      `CREATE DATABASE ${name(options.database)} OWNER ${name(options.owner)} TEMPLATE template0 ENCODING 'UTF8'`,
    );
  });
  try {
    await withClient(inDatabase, (client) => prepareDatabase(client, options));
    await withClient({ ...inDatabase, user: options.owner, password: options.ownerPassword }, (client) =>
      fillDatabase(client, rows),
    );
    const report = await withClient(inDatabase, describeDatabase);
    return { database: options.database, ...report, durationMs: performance.now() - startedAt };
  } catch (error) {
    await withClient(admin, (client) => client.query(`DROP DATABASE ${name(options.database)} WITH (FORCE)`));
    throw error;
  }
}

async function createRoles(client: pg.Client, options: SampleOptions): Promise<void> {
  // The password is in the text of a statement, which the server must not write to its log.
  await client.query("SET log_statement = 'none'");
  await client.query('SET log_min_duration_statement = -1');
  await client.query("SET log_min_error_statement = 'panic'");
  await client.query('BEGIN');
  // Roles belong to the whole server: two samples made at once must not both find one missing.
  await client.query("SELECT pg_advisory_xact_lock(hashtextextended('cofre sample roles', 0))");
  const wanted = { [options.owner]: 'LOGIN', ...SAMPLE_ROLES };
  const { rows } = await client.query<{ rolname: string }>('SELECT rolname FROM pg_roles WHERE rolname = ANY ($1)', [
    Object.keys(wanted),
  ]);
  const existing = new Set(rows.map((row) => row.rolname));
  for (const [role, attributes] of Object.entries(wanted)) {
    if (!existing.has(role)) await client.query(`CREATE ROLE ${name(role)} ${attributes}`);
  }
  const password = client.escapeLiteral(options.ownerPassword.reveal());
  await client.query(`ALTER ROLE ${name(options.owner)} LOGIN PASSWORD ${password}`);
  // A membership that exists is only a notice.
  await client.query('GRANT erp_leitura TO erp_escrita');
  await client.query('GRANT erp_escrita TO erp_app');
  await client.query('COMMIT');
}

async function prepareDatabase(client: pg.Client, options: SampleOptions): Promise<void> {
  await client.query(`CREATE SCHEMA extensoes AUTHORIZATION ${name(options.owner)}`);
  for (const [extension, schema] of Object.entries(EXTENSIONS)) {
    await client.query(`CREATE EXTENSION ${name(extension)} SCHEMA ${schema}`);
  }
  const database = name(options.database);
  await client.query(`ALTER ROLE erp_app IN DATABASE ${database} SET statement_timeout = '30s'`);
  await client.query(
    `ALTER ROLE erp_app IN DATABASE ${database} SET search_path = vendas, cadastro, public, extensoes`,
  );
}

async function fillDatabase(client: pg.Client, rows: number): Promise<void> {
  // What decides how dates become text or where a day begins must not come from the server's configuration.
  await client.query("SET timezone = 'America/Sao_Paulo'");
  await client.query("SET datestyle = 'ISO, DMY'");
  await client.query('SET synchronous_commit = off');
  // The sample uses its extensions as customers do, without naming their schema.
  await client.query('SET search_path = public');
  await client.query("SELECT set_config('amostra.linhas', $1, false)", [String(rows)]);
  for (const file of FILES) {
    // Without parameters the whole file is one message, and one transaction.
    await client.query(await readFile(new URL(`./sample/${file}.sql`, import.meta.url), 'utf8'));
  }
  await client.query('ANALYZE');
}

const USER_TABLES = `
  SELECT c.oid, c.relkind, format('%I.%I', n.nspname, c.relname) AS name
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')`;

async function describeDatabase(client: pg.Client): Promise<Omit<SampleReport, 'database' | 'durationMs'>> {
  const tables = await client.query<{ name: string; relkind: string }>(USER_TABLES);
  let rows = 0;
  for (const table of tables.rows) {
    if (table.relkind === 'p') continue; // its rows are those of its partitions
    const counted = await client.query<{ rows: string }>(`SELECT count(*) AS rows FROM ONLY ${table.name}`);
    rows += Number(counted.rows[0]?.rows);
  }
  const facts = await client.query<{ schemas: number; objects: number; size: string }>(`
    SELECT pg_database_size(current_database()) AS size, (SELECT count(*)::int FROM pg_largeobject_metadata) AS objects,
      (SELECT count(*)::int FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema') AS schemas`);
  const { schemas = 0, objects = 0, size = '0' } = facts.rows[0] ?? {};
  return { schemas, tables: tables.rows.length, rows, largeObjects: objects, sizeBytes: Number(size) };
}

function name(identifier: string): string {
  return pg.escapeIdentifier(identifier);
}
