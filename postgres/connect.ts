import pg from 'pg';

import type { Secret } from '../config/secret.ts';
import { CofreError, messageOf, nativeCode } from '../errors/error.ts';

/** A database on a server, and who logs in. Never a connection string: those leak in error messages and can be injected into. */
export interface PostgresTarget {
  readonly host: string;
  readonly port: number;
  readonly tls: 'off' | 'require' | 'verify';
  readonly user: string;
  readonly password: Secret;
  readonly database: string;
}

/** SQLSTATE codes that Cofre decides by (PostgreSQL documentation, appendix A). */
export const SQLSTATE = {
  invalidPassword: '28P01',
  invalidAuthorization: '28000',
  invalidCatalogName: '3D000',
  insufficientPrivilege: '42501',
  undefinedTable: '42P01',
  duplicateObject: '42710',
  duplicateDatabase: '42P04',
  invalidBytes: '22021',
  untranslatable: '22P05',
  protocolViolation: '08P01',
  uniqueViolation: '23505',
  notNow: '55000',
  objectInUse: '55006',
  lockNotAvailable: '55P03',
  cannotConnectNow: '57P03',
  tooManyConnections: '53300',
  internalError: 'XX000',
} as const;

/** How long a login may take, for our own sessions and for the tools'. */
export const CONNECT_TIMEOUT_MS = 10_000;

/**
 * Whoever owns a database can set what its sessions find first. With a path of its own, a view or an operator of theirs
 * would stand in for one of the system's and run as us. In the startup packet, so that it holds from the first query
 * and over what ALTER DATABASE or ALTER ROLE … SET says.
 */
const SAFE_SEARCH_PATH = 'pg_catalog,pg_temp';

/**
 * In the startup packet, over what a server, a database or a role has set, for our sessions and the tools'. The server notices
 * within two minutes, and not after two hours, that a host is gone (power, a cable): until then its sessions would hold
 * their locks, and a dump's snapshot keeps the server from cleaning up. And no limit for the statements of an
 * application ends what takes long by its nature, nor does a role that a database gives its sessions stand in for our login.
 */
export const SESSION_OPTIONS = toOptions([
  'tcp_keepalives_idle=60',
  'tcp_keepalives_interval=10',
  'tcp_keepalives_count=6',
  'tcp_user_timeout=120000',
  'statement_timeout=0',
  'lock_timeout=0',
  'idle_in_transaction_session_timeout=0',
  'role=none',
]);

/** So that `pg` reads times and numbers right, however a database would show them. */
const READABLE = toOptions(['datestyle=ISO', 'timezone=UTC', 'extra_float_digits=1']);

function toOptions(settings: readonly string[]): string {
  return settings.map((setting) => `-c ${setting}`).join(' ');
}

/** What every session is opened with, alone or in a pool. */
export function sessionSettings(target: PostgresTarget): pg.ClientConfig {
  return {
    host: target.host,
    port: target.port,
    user: target.user,
    password: target.password.reveal(),
    database: target.database,
    ssl: target.tls === 'off' ? false : { rejectUnauthorized: target.tls === 'verify' },
    application_name: 'cofre',
    options: `-c search_path=${SAFE_SEARCH_PATH} ${SESSION_OPTIONS} ${READABLE}`,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
  };
}

/**
 * Opens a session in which only the system's names are found without their schema. The caller ends it; `withClient`
 * does that for you.
 * @throws CofreError `bad-config` where a connection pooler answers, `server-unavailable`, `server-denied`, `database-missing`.
 */
export async function openClient(target: PostgresTarget): Promise<pg.Client> {
  const client = new pg.Client({
    ...sessionSettings(target),
    // A session that holds a dump's snapshot is silent for hours; the system's own first probe comes after two.
    keepAliveInitialDelayMillis: 30_000,
  });
  // A session that is ended from outside emits 'error' with nobody waiting; the next query reports it.
  client.on('error', () => undefined);
  try {
    await client.connect();
    const version = await refusePooler(client, target);
    // As the options above; but a server before 17, which does not know it, would refuse such a session.
    if (version >= 170_000) await client.query('set transaction_timeout = 0');
    return client;
  } catch (cause) {
    await client.end().catch(() => undefined);
    if (cause instanceof CofreError) throw cause;
    throw isInvalidDatabase(cause) ? invalidDatabase(target, cause) : toServerError(cause, target);
  }
}

/** In the words of English and of Portuguese servers: the same SQLSTATE says that a database is closed. */
function isInvalidDatabase(cause: unknown): boolean {
  return nativeCode(cause) === SQLSTATE.notNow && /inv[aá]lid/i.test(messageOf(cause));
}

/** What is said of a database whose DROP DATABASE was interrupted: nobody can use it, or give it another name. */
export function invalidDatabase({ database }: Pick<PostgresTarget, 'database'>, cause?: unknown): CofreError {
  return new CofreError('refused', `the database ${database} is invalid: a DROP DATABASE of it was interrupted`, {
    cause,
    hint: `finish that as its owner: DROP DATABASE ${pg.escapeIdentifier(database)}; then cofre ensure, or a restore, brings it back`,
  });
}

/**
 * Between us and a server a pooler gives one session to many clients: what we set would stay for the next, and what
 * must be one session would be spread over several. They differ in how they show: some refuse the settings that a session
 * begins with (`toServerError`), some leave them out, and most announce a process of their own. Asked first and by full
 * names only, because without those settings a name could be a customer's. Gives the server's version, such as 150020.
 */
async function refusePooler(client: pg.Client, target: PostgresTarget): Promise<number> {
  const { rows } = await client.query<{ pid: number; path: string; version: string }>(
    `select pg_catalog.pg_backend_pid() as pid, pg_catalog.current_setting('search_path') as path,
       pg_catalog.current_setting('server_version_num') as version`,
  );
  const announced = 'processID' in client ? client.processID : undefined;
  if (rows[0]?.pid !== announced || rows[0]?.path !== SAFE_SEARCH_PATH) throw poolerError(target);
  return Number(rows[0].version);
}

/** Lends a session to `use` and always ends it. */
export async function withClient<T>(target: PostgresTarget, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = await openClient(target);
  try {
    return await use(client);
  } catch (error) {
    throw error instanceof CofreError ? error : toServerError(error, target);
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** A failure of `pg`, as one of Cofre's: what to try again and what to mend. */
export function toServerError(cause: unknown, target: PostgresTarget): CofreError {
  const where = `${target.host}:${target.port}`;
  const said = messageOf(cause);
  // Trying again until the run's end would not mend a defect of ours.
  if (cause instanceof TypeError || cause instanceof RangeError)
    return new CofreError('unexpected', `reading what ${where} answered failed: ${said}`, { cause });
  switch (nativeCode(cause)) {
    case SQLSTATE.invalidPassword:
    case SQLSTATE.invalidAuthorization:
      return new CofreError('server-denied', `the server ${where} refused the login ${target.user}: ${said}`, {
        cause,
        hint: 'check the user and its secret in servers:, and pg_hba.conf on the server',
      });
    case SQLSTATE.insufficientPrivilege:
      return new CofreError('server-denied', `${target.user} may not do this on ${where}: ${said}`, {
        cause,
        hint: 'docs/operations.md has the SQL that gives the role what it needs; `cofre doctor` checks it',
      });
    case SQLSTATE.invalidCatalogName:
      return new CofreError('database-missing', `there is no database ${target.database} on ${where}`, { cause });
    case SQLSTATE.lockNotAvailable:
      return new CofreError('database-locked', `a lock was not granted on ${where}: ${said}`, { cause });
    case SQLSTATE.duplicateDatabase:
      return new CofreError('already-exists', `the server ${where} refused: ${said}`, { cause });
    case SQLSTATE.invalidBytes:
    case SQLSTATE.untranslatable:
      return new CofreError(
        'refused',
        `the database ${target.database} on ${where} has names or values that are not UTF-8: ${said}`,
        {
          cause,
          hint: 'a database of the encoding SQL_ASCII takes any bytes as a name: rename what has such a name, or move its data to a database of the encoding UTF8',
        },
      );
    case SQLSTATE.protocolViolation:
      // Poolers do not know the options with which a session begins.
      return said.includes('startup parameter') ? poolerError(target, cause) : unavailable(cause, target);
    default:
      return isStatementFailure(sqlStateOf(cause))
        ? new CofreError('unexpected', `the server ${where} refused a statement: ${said}`, { cause })
        : unavailable(cause, target);
  }
}

function unavailable(cause: unknown, target: PostgresTarget): CofreError {
  return new CofreError('server-unavailable', `the server ${target.host}:${target.port} failed: ${messageOf(cause)}`, {
    cause,
    hint: 'check that the server runs and can be reached from this host',
  });
}

/** The refusal of a connection pooler: it spreads over several sessions what must be one. */
function poolerError(target: PostgresTarget, cause?: unknown): CofreError {
  return new CofreError(
    'bad-config',
    `${target.host}:${target.port} is a connection pooler, not the PostgreSQL server`,
    { cause, hint: "give servers: the address of the server itself; a pooler breaks a dump's session" },
  );
}

/** The SQLSTATE of what `pg` threw; undefined where the server did not say one. */
export function sqlStateOf(error: unknown): string | undefined {
  const code = nativeCode(error);
  // Node's codes, such as EPIPE, can be five letters too; no SQLSTATE begins with E.
  return code !== undefined && /^(?!E)[0-9A-Z]{5}$/.test(code) ? code : undefined;
}

/**
 * Whether the server is well and said no: an SQLSTATE, but for lost connections, conflicts with others (a standby's with its
 * replication, too), full resources, ends and its own failures.
 */
function isStatementFailure(state: string | undefined): boolean {
  return state !== undefined && !/^(08|40|53|57|58|XX)/.test(state);
}
