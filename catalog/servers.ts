import { CofreError } from '../errors/error.ts';
import type { Catalog } from './open.ts';

/** A database server as it was seen. */
export interface SeenServer {
  /** `pg_control_system().system_identifier`: what tells one server from another under the same address. */
  readonly systemIdentifier: string;
  /** Its name in the configuration. */
  readonly server: string;
  readonly version: string;
}

export interface RecordedServer extends SeenServer {
  readonly recordedAt: string;
  /** Who said that the database had moved there; null where it was first seen. */
  readonly acceptedBy: string | null;
}

interface ServerRow {
  number: number;
  system_identifier: string;
  server: string;
  version: string;
  accepted_by: string | null;
  recorded_at: Date;
}

/**
 * Records where an environment's database was seen, and gives what is recorded: the first server seen, or the same one,
 * upgraded or renamed. Another server is not recorded: compare the answer's `systemIdentifier` with what was seen.
 */
export async function recordServer(catalog: Catalog, environment: string, seen: SeenServer): Promise<RecordedServer> {
  const current = await newest(catalog, environment);
  if (current !== undefined) {
    const same = current.system_identifier === seen.systemIdentifier;
    if (!same || (current.server === seen.server && current.version === seen.version)) return toServer(current);
  }
  await append(catalog, environment, (current?.number ?? 0) + 1, seen, current?.accepted_by ?? null);
  // Another call may have been first with its row; what stands is the answer.
  const stands = await newest(catalog, environment);
  if (stands === undefined) throw new CofreError('unexpected', `the server of ${environment} was not recorded`);
  return toServer(stands);
}

/** Records that an environment's database is on another server from now on, by somebody's word. The old one stays in the history. */
export async function acceptServer(
  catalog: Catalog,
  environment: string,
  seen: SeenServer,
  by: string,
): Promise<RecordedServer> {
  for (;;) {
    const current = await newest(catalog, environment);
    // Accepted already, as after a lost reply.
    if (current?.system_identifier === seen.systemIdentifier) return toServer(current);
    await append(catalog, environment, (current?.number ?? 0) + 1, seen, by);
  }
}

/** Where the environment's database is expected; undefined before it was first seen. */
export async function recordedServer(catalog: Catalog, environment: string): Promise<RecordedServer | undefined> {
  const current = await newest(catalog, environment);
  return current === undefined ? undefined : toServer(current);
}

/** The environments whose database is expected on a server. */
export async function environmentsOn(catalog: Catalog, systemIdentifier: string): Promise<string[]> {
  const rows = await catalog.query<{ environment: string }>(
    `SELECT environment FROM (
       SELECT DISTINCT ON (environment) environment, system_identifier FROM cofre.servers ORDER BY environment, number DESC
     ) newest WHERE system_identifier = $1 ORDER BY environment`,
    [systemIdentifier],
  );
  return rows.map(({ environment }) => environment);
}

async function newest(catalog: Catalog, environment: string): Promise<ServerRow | undefined> {
  const [row] = await catalog.query<ServerRow>(
    'SELECT * FROM cofre.servers WHERE environment = $1 ORDER BY number DESC LIMIT 1',
    [environment],
  );
  return row;
}

async function append(
  catalog: Catalog,
  environment: string,
  number: number,
  seen: SeenServer,
  by: string | null,
): Promise<void> {
  await catalog.query(
    `INSERT INTO cofre.servers (environment, number, system_identifier, server, version, accepted_by)
     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
    [environment, number, seen.systemIdentifier, seen.server, seen.version, by],
  );
}

function toServer(row: ServerRow): RecordedServer {
  return {
    systemIdentifier: row.system_identifier,
    server: row.server,
    version: row.version,
    recordedAt: row.recorded_at.toISOString(),
    acceptedBy: row.accepted_by,
  };
}
