import { objectPrefix } from '../catalog/backup-id.ts';
import type { KnownCopy } from '../catalog/copies-in.ts';
import type { Destination, StoredObject } from '../destinations/destination.ts';
import { hashOf, unlessMissing } from '../destinations/stored.ts';

export const MANIFEST = 'manifest.json';

/** How a copy looks beside what its manifest says. `suspect` goes first: of a damaged object nothing is copied by itself. */
export interface Look {
  readonly is: 'whole' | 'missing' | 'suspect';
  /** In words, what is not as it should be. */
  readonly wrong: readonly string[];
  /** Whether its manifest is there, whatever it says. */
  readonly published: boolean;
}

/**
 * Looks at one copy. What a listing shows is enough where it is as it should be; whatever is not is looked at once more by
 * itself, because a list may be old, cut off or late. Manifests are read, objects are not: that is what a verification does.
 */
export async function lookAtCopy(
  place: Destination,
  copy: Pick<KnownCopy, 'backupId' | 'environment' | 'manifestSha256'> & { objects: NonNullable<KnownCopy['objects']> },
  listed: readonly StoredObject[],
  signal: AbortSignal,
): Promise<Look> {
  const prefix = objectPrefix(copy.environment, copy.backupId);
  const absent: string[] = [];
  const damaged: string[] = [];
  for (const { key, sizeBytes } of copy.objects) {
    if (listed.some((one) => one.key === key && one.sizeBytes === sizeBytes)) continue;
    const found = await unlessMissing(place.stat(prefix + key, { signal }));
    if (found === undefined) absent.push(`${key} is not there`);
    else if (found.sizeBytes !== sizeBytes)
      damaged.push(`${key} has ${found.sizeBytes} bytes and should have ${sizeBytes}`);
  }
  const manifest = await hashOf(place, prefix + MANIFEST, signal);
  if (manifest === undefined) absent.push(`${MANIFEST} is not there`);
  else if (manifest !== copy.manifestSha256) damaged.push(`${MANIFEST} is another one`);
  const is = damaged.length > 0 ? 'suspect' : absent.length > 0 ? 'missing' : 'whole';
  return { is, wrong: [...damaged, ...absent], published: manifest !== undefined };
}
