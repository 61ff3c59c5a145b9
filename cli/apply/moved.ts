import { MANIFEST } from '../../activities/compare-copy.ts';
import { objectPrefix } from '../../catalog/backup-id.ts';
import { newestCopy } from '../../catalog/copies-in.ts';
import type { Queries } from '../../catalog/open.ts';
import type { DestinationConfig } from '../../config/destination-schema.ts';
import { openDestination } from '../../destinations/open.ts';
import { addressOf } from '../../destinations/place.ts';
import { unlessMissing } from '../../destinations/stored.ts';
import { CofreError, messageOf } from '../../errors/error.ts';
import { tellSilence } from '../silence.ts';

/**
 * That a destination which leads to another place than before, or comes back under a name of before, has there what the catalog
 * counts in it: it would count on, and restores, debts and a retirement would lean on what is not there.
 * @param seen the destinations that can be looked at from this machine.
 * @throws CofreError `refused`.
 */
export async function requireCopiesMoved(
  catalog: Queries,
  destinations: Readonly<Record<string, DestinationConfig>>,
  formerAddresses: Readonly<Record<string, string | undefined>>,
  seen: readonly string[],
): Promise<void> {
  for (const [name, settings] of Object.entries(destinations)) {
    if (formerAddresses[name] === addressOf(settings)) continue;
    const newest = await newestCopy(catalog, name);
    if (newest === undefined) continue;
    const { backupId, environment, count } = newest;
    const key = objectPrefix(environment, backupId) + MANIFEST;
    const why = seen.includes(name)
      ? await tellSilence(name, whyNotThere(name, settings, key))
      : 'this host cannot see it';
    if (why === undefined) continue;
    const counted =
      count === 1 ? `the backup ${backupId} is counted` : `${count} backups, the newest ${backupId}, are counted`;
    throw new CofreError('refused', `${name} leads to another place than before, and ${counted} there: ${why}`, {
      hint: `bring them there first, apply on a host that sees it, or give the new place another name; --force takes it all the same, and cofre sync ${name} then tells what is missing`,
    });
  }
}

async function whyNotThere(name: string, settings: DestinationConfig, key: string): Promise<string | undefined> {
  const place = openDestination(name, settings);
  try {
    return (await unlessMissing(place.stat(key))) === undefined ? `there is no ${key}` : undefined;
  } catch (error) {
    if (!(error instanceof CofreError)) throw error;
    return messageOf(error);
  } finally {
    await place.close();
  }
}
