import { readApplied } from '../../activities/applied.ts';
import type { DestinationConfig } from '../../config/destination-schema.ts';
import { findConfigPath, loadConnection, loadDestinations } from '../../config/load.ts';
import { notKnown } from '../environment.ts';
import { Session, type GlobalOptions } from '../session.ts';

/**
 * A destination of the configuration file; where that only says how to reach the catalog, as a worker's own does, of the
 * configuration that was applied. @throws CofreError `not-known`.
 */
export async function findDestination(options: GlobalOptions, name: string): Promise<DestinationConfig> {
  const destinations = await knownDestinations(findConfigPath(options.config));
  const found = Object.hasOwn(destinations, name) ? destinations[name] : undefined;
  if (found === undefined) throw notKnown('destination', name, Object.keys(destinations));
  return found;
}

async function knownDestinations(path: string): Promise<Record<string, DestinationConfig>> {
  const written = await loadDestinations(path);
  if (written !== undefined) return written;
  const session = new Session(await loadConnection(path));
  try {
    return (await readApplied(await session.catalog())).config.destinations;
  } finally {
    await session.close();
  }
}
