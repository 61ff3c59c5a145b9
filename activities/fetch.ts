import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';

import { objectPrefix } from '../catalog/backup-id.ts';
import type { Manifest } from '../catalog/manifest.ts';
import { withDestination, withoutLimits } from '../destinations/open.ts';
import { CofreError, messageOf } from '../errors/error.ts';
import { archiveOf } from './local-dump.ts';
import { isDamage } from './mark-suspect.ts';
import { sees, type NamedDestination, type RestoreSource } from './plans.ts';

type BackupSource = Extract<RestoreSource, { type: 'backup' }>;

/**
 * Brings a backup's object into `file` from the first copy that can be read and has the manifest's hash.
 * @returns the destination's name. @throws what the last copy said, when none could be used.
 */
export async function fetchObject(request: {
  host: string;
  environment: string;
  source: BackupSource;
  manifest: Manifest;
  file: string;
  signal: AbortSignal;
  onProgress: (from: string, bytes: number) => void;
  /** Called with a copy that is not what was verified: gone, cut or changed. */
  onDamaged: (destination: string, error: CofreError) => Promise<void>;
}): Promise<string> {
  const { host, source, signal } = request;
  const failures: string[] = [];
  let last: unknown;
  for (const { destination } of source.copies) {
    if (!sees(host, destination.config)) continue;
    try {
      await fetchFrom(destination, request);
      return destination.name;
    } catch (error) {
      signal.throwIfAborted();
      // The spool is full whichever copy is read.
      if (error instanceof CofreError && error.code === 'no-space') throw error;
      if (isDamage(error)) await request.onDamaged(destination.name, error);
      last = error;
      failures.push(`${destination.name}: ${messageOf(error)}`);
    }
  }
  const code = last instanceof CofreError ? last.code : 'destination-unavailable';
  throw new CofreError(code, `no copy of ${source.backupId} could be fetched: ${failures.join('; ')}`, {
    cause: last,
    hint: 'cofre backups lists the others; the damaged copies are marked, and ensure takes the next good backup',
  });
}

async function fetchFrom(
  destination: NamedDestination,
  { environment, source, manifest, file, signal, onProgress }: Parameters<typeof fetchObject>[0],
): Promise<void> {
  const object = archiveOf(manifest);
  const hash = createHash('sha256');
  // Whoever restores is waiting for it: the limits are for what can wait.
  await withDestination(destination.name, withoutLimits(destination.config), async (place) => {
    const stream = await place.get(objectPrefix(environment, source.backupId) + object.key, { signal });
    const target = await open(file, 'w', 0o600);
    try {
      let bytes = 0;
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        hash.update(chunk);
        await target.write(chunk);
        bytes += chunk.length;
        onProgress(destination.name, bytes);
      }
    } catch (error) {
      throw noSpaceOr(error);
    } finally {
      await target.close();
    }
  });
  if (hash.digest('hex') !== object.sha256) {
    throw new CofreError('bad-content', `the copy in ${destination.name} does not have the hash of its manifest`);
  }
}

function noSpaceOr(error: unknown): unknown {
  const full = error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT');
  if (!full) return error;
  return new CofreError('no-space', 'the spool is full', {
    cause: error,
    hint: 'make room in the file system of the spool',
  });
}
