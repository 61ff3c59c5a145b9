import { isBackupId } from '../catalog/backup-id.ts';
import { backupStates } from '../catalog/backups.ts';
import type { Catalog } from '../catalog/open.ts';
import { findAbandoned } from '../destinations/abandoned.ts';
import { messageOf } from '../errors/error.ts';
import { readApplied } from './applied.ts';
import { sees, type NamedDestination } from './plans.ts';
import type { Tidied } from './tidy-spool.ts';

/** Longer than a run may last; a debt that is paid later sends its parts again, and that is all. */
const ABANDONED_AFTER_MS = 3 * 86_400_000;
const LOOKS_FOR_MS = 60_000;

/** Tidies every destination that this host reaches, each for itself: one that is away has its own troubles. */
export async function tidyDestinations(host: string, catalog: Catalog, signal: AbortSignal): Promise<Tidied> {
  const { config } = await readApplied(catalog);
  const seen = Object.entries(config.destinations).filter(([, settings]) => sees(host, settings));
  const all = await Promise.all(
    seen.map(async ([name, settings]): Promise<Tidied> => {
      const soon = AbortSignal.any([signal, AbortSignal.timeout(LOOKS_FOR_MS)]);
      try {
        return await tidyDestination({ name, config: settings }, catalog, soon);
      } catch (error) {
        return { removed: [], kept: [`what uploads may have left in ${name}: ${messageOf(error)}`] };
      }
    }),
  );
  signal.throwIfAborted();
  return { removed: all.flatMap(({ removed }) => removed), kept: all.flatMap(({ kept }) => kept) };
}

/**
 * Removes the parts of uploads that nobody will end: of backups that run no more, and that began long ago. What the catalog
 * does not know is left alone and told.
 */
export async function tidyDestination(
  { name, config }: NamedDestination,
  catalog: Catalog,
  signal: AbortSignal,
  now = Date.now(),
): Promise<Tidied> {
  const found = await findAbandoned(config, new Date(now - ABANDONED_AFTER_MS), signal);
  const idOf = (key: string): string => key.split('/')[1] ?? '';
  const states = await backupStates(catalog, found.map(({ key }) => idOf(key)).filter(isBackupId));
  const removed: string[] = [];
  const kept: string[] = [];
  for (const { key, remove } of found) {
    const what = `parts of ${key} in ${name}`;
    const state = states.get(idOf(key));
    if (state === undefined) kept.push(`${what}: of a backup that this catalog does not know`);
    if (state === undefined || state === 'running') continue;
    await remove();
    removed.push(what);
  }
  return { removed, kept };
}
