import { createHash } from 'node:crypto';

import { replaceSuspect } from '../catalog/copies-in.ts';
import type { Manifest } from '../catalog/manifest.ts';
import { manifestBytes } from '../catalog/parse-manifest.ts';
import type { Destination } from '../destinations/destination.ts';
import { withDestination } from '../destinations/open.ts';
import { hashOf, unlessMissing } from '../destinations/stored.ts';
import { CofreError, messageOf } from '../errors/error.ts';
import { MANIFEST } from './compare-copy.ts';
import { archiveOf } from './local-dump.ts';
import { markSuspect } from './mark-suspect.ts';
import type { NamedDestination } from './plans.ts';
import { proveCopy, type CopyToProve } from './prove-copy.ts';

/**
 * What is left of a copy after it was looked at: `proven` needs nothing more; `nothing` is in the way of a new one;
 * `damaged` is what must stay, because there is nothing whole to replace it, and `why`.
 */
export type Mended = { readonly left: 'proven' | 'nothing' } | { readonly left: 'damaged'; readonly why: string };

/** Once the catalog has said that a damaged copy may go, it must go within this time, or not at all. */
const REMOVES_WITHIN_MS = 10_000;

/**
 * Looks at what should be a copy. What is whole is proven where it is. What is damaged is taken away, for nothing is ever overwritten,
 * but only once another copy was read in full and found whole: this one may be the last of the backup.
 */
export async function mendCopy(
  copy: CopyToProve,
  own: Manifest,
  sources: readonly NamedDestination[],
): Promise<Mended> {
  const { catalog, place, name, prefix, signal } = copy;
  const { backupId } = own;
  const damaged = await damagedBySight(place, prefix, own, signal);
  const { key } = archiveOf(own);
  if (damaged.length === 0) {
    if ((await unlessMissing(place.stat(prefix + key, { signal }))) === undefined) return { left: 'nothing' };
    const error = await whyNotProven(() => proveCopy(copy, own));
    if (error === undefined) return { left: 'proven' };
    damaged.push({ key, error });
  }
  const [first] = damaged;
  if (first !== undefined) await markSuspect(catalog, backupId, name, first.error);
  const why = await whyNoOther(copy, own, sources);
  if (why !== undefined) return { left: 'damaged', why };
  // The catalog's row is held meanwhile, so that no other run makes, proves or removes this copy. Who is frozen here loses the row
  // after half a minute; by then another attempt may have put the new copy, and what wakes up late must not remove that one.
  const done = await replaceSuspect(catalog, { backupId, destination: name }, async () => {
    const deadline = performance.now() + REMOVES_WITHIN_MS;
    // The manifest first: without it nobody takes the rest for a backup.
    const keys = damaged.map((one) => one.key);
    for (const one of keys.length === 1 && keys[0] === MANIFEST
      ? keys
      : [MANIFEST, ...keys.filter((each) => each !== MANIFEST)]) {
      signal.throwIfAborted();
      if (performance.now() > deadline)
        throw new CofreError(
          'destination-unavailable',
          `${name} took too long to take away a damaged copy of ${backupId}`,
        );
      await place.remove(prefix + one, { signal });
    }
  });
  return done === 'last' ? { left: 'damaged', why: 'no other copy of it is verified' } : { left: 'nothing' };
}

interface Damage {
  readonly key: string;
  readonly error: CofreError;
}

/** What can be seen without reading the object: its size, and the whole manifest. */
async function damagedBySight(
  place: Destination,
  prefix: string,
  own: Manifest,
  signal: AbortSignal,
): Promise<Damage[]> {
  const damaged: Damage[] = [];
  const manifest = await hashOf(place, prefix + MANIFEST, signal);
  const ownHash = createHash('sha256').update(manifestBytes(own)).digest('hex');
  if (manifest !== undefined && manifest !== ownHash)
    damaged.push({ key: MANIFEST, error: new CofreError('bad-content', `${MANIFEST} is another one`) });
  const { key, sizeBytes } = archiveOf(own);
  const found = await unlessMissing(place.stat(prefix + key, { signal }));
  if (found !== undefined && found.sizeBytes !== sizeBytes) {
    const message = `${key} has ${found.sizeBytes} bytes and should have ${sizeBytes}`;
    damaged.push({ key, error: new CofreError('bad-content', message) });
  }
  return damaged;
}

/** The damage that a proof finds; undefined when it holds. Every other failure is thrown: it says nothing about the copy. */
async function whyNotProven(prove: () => Promise<unknown>): Promise<CofreError | undefined> {
  try {
    await prove();
    return undefined;
  } catch (error) {
    if (error instanceof CofreError && error.code === 'bad-content') return error;
    throw error;
  }
}

/** Reads the other copies until one is whole, and marks those that are not. Gives why none is. */
async function whyNoOther(
  { catalog, signal, prefix, onProgress }: CopyToProve,
  own: Manifest,
  sources: readonly NamedDestination[],
): Promise<string | undefined> {
  const { key, sha256 } = archiveOf(own);
  const failures: string[] = [];
  for (const { name, config } of sources) {
    try {
      const found = await withDestination(name, config, (source) => hashOf(source, prefix + key, signal, onProgress));
      if (found === sha256) return undefined;
      const message = found === undefined ? `${key} is not there` : `${key} has another hash`;
      const error = new CofreError(found === undefined ? 'not-found' : 'bad-content', message);
      await markSuspect(catalog, own.backupId, name, error);
      failures.push(`${name}: ${message}`);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof CofreError) || error.code === 'catalog-unavailable') throw error;
      failures.push(`${name}: ${messageOf(error)}`);
    }
  }
  return `no whole copy of it could be read${failures.length === 0 ? '' : ` (${failures.join('; ')})`}`;
}
