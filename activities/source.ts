import { recordServer } from '../catalog/servers.ts';
import type { Catalog } from '../catalog/open.ts';
import type { ServerFacts } from '../catalog/manifest.ts';
import { resolveSecret } from '../config/secret.ts';
import { withDestination } from '../destinations/open.ts';
import { CofreError } from '../errors/error.ts';
import type { PostgresTarget } from '../postgres/connect.ts';
import type { BackupPlan, NamedDestination } from './plans.ts';

/** The database as the backup role reaches it; the secret is read here, on the host that needs it. */
export async function sourceOf({ server, database }: BackupPlan): Promise<PostgresTarget> {
  const { host, port, tls, backup } = server;
  return { host, port, tls, user: backup.user, password: await resolveSecret(backup.password), database };
}

/** A dump of the wrong server would pass every later check, so a change of server needs a person's word. */
export async function requireSameServer(
  catalog: Catalog,
  plan: Pick<BackupPlan, 'environment' | 'server'>,
  server: ServerFacts,
): Promise<void> {
  const { id } = plan.environment;
  const recorded = await recordServer(catalog, id, {
    systemIdentifier: server.systemIdentifier,
    server: plan.server.name,
    version: server.version,
  });
  if (recorded.systemIdentifier === server.systemIdentifier) return;
  throw new CofreError(
    'server-changed',
    `${plan.server.host}:${plan.server.port} is not the server on which ${id} was last seen (system identifier ${server.systemIdentifier}, recorded ${recorded.systemIdentifier})`,
    { hint: `if the database moved on purpose: cofre accept ${id}` },
  );
}

/** A dump that no destination can take need not be made. @throws what the first destination said. */
export async function requireOneDestination(destinations: readonly NamedDestination[]): Promise<void> {
  const failures: unknown[] = [];
  for (const { name, config } of destinations) {
    try {
      await withDestination(name, config, (place) => place.stat('nothing').catch(ignoreNotFound));
      return;
    } catch (error) {
      failures.push(error);
    }
  }
  throw failures[0];
}

/**
 * Two destinations that are one folder (by a link, a mount, another spelling) would count one copy twice.
 * @throws CofreError `bad-config`, naming both. What cannot be asked now is passed over.
 */
export async function requireDifferentPlaces(destinations: readonly NamedDestination[]): Promise<void> {
  const known = new Map<string, string>();
  for (const { name, config } of destinations) {
    const id = await withDestination(name, config, (place) => place.identity()).catch(ignoreUnreachable);
    if (id === undefined) continue;
    const other = known.get(id);
    if (other !== undefined) throw samePlace(other, name);
    known.set(id, name);
  }
}

export function samePlace(one: string, other: string): CofreError {
  return new CofreError('bad-config', `the destinations ${one} and ${other} are one place: two copies there are one`, {
    hint: 'give each destination a place of its own in cofre.yaml, then cofre apply',
  });
}

function ignoreUnreachable(error: unknown): undefined {
  if (error instanceof CofreError) return undefined;
  throw error;
}

function ignoreNotFound(error: unknown): undefined {
  if (error instanceof CofreError && error.code === 'not-found') return undefined;
  throw error;
}
