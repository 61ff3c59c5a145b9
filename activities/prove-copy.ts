import { basename } from 'node:path/posix';

import { recordDump, requireCurrentDump } from '../catalog/backups.ts';
import type { Manifest } from '../catalog/manifest.ts';
import type { Catalog } from '../catalog/open.ts';
import { MANIFEST_MAX_BYTES, manifestBytes, parseManifest } from '../catalog/parse-manifest.ts';
import type { Destination } from '../destinations/destination.ts';
import { bytesBody } from '../destinations/local-file.ts';
import { bytesOf, unlessMissing } from '../destinations/stored.ts';
import { CofreError } from '../errors/error.ts';
import { checkArchive } from '../sources/postgres/check-archive.ts';
import type { FindClients } from '../sources/postgres/clients.ts';
import { archiveOf } from './local-dump.ts';

export interface CopyToProve {
  readonly catalog: Catalog;
  readonly findClients: FindClients;
  /** The destination, its name in messages, and the backup's folder there. */
  readonly place: Destination;
  readonly name: string;
  readonly prefix: string;
  readonly records: string;
  readonly signal: AbortSignal;
  /** Bytes of the object read so far. */
  readonly onProgress: (bytes: number) => void;
}

/**
 * Reads the objects of `own` back, proves that they are what was dumped, and only then writes the manifest, which makes
 * them a backup. Gives the manifest that stands there then: another one, proven too, where an attempt that everybody had
 * given up, on a host that was frozen, was faster in its last instant. What stands in the destination decides.
 * @throws CofreError `bad-content`; `refused` when the dump was replaced by another, or the backup is closed without it.
 */
export async function proveCopy(copy: CopyToProve, own: Manifest): Promise<Manifest> {
  let manifest = (await publishedManifest(copy.place, copy.prefix, copy.signal)) ?? own;
  for (;;) {
    await checkObjects(copy, manifest);
    if (manifest.attempt !== own.attempt) await adopt(copy.catalog, manifest);
    const stands = await publish(copy, manifest);
    if (stands.attempt === manifest.attempt) return manifest;
    manifest = stands;
  }
}

/** The manifest that stands under a backup's prefix; undefined while nothing there is a backup. */
export async function publishedManifest(
  place: Destination,
  prefix: string,
  signal: AbortSignal,
): Promise<Manifest | undefined> {
  const stream = await unlessMissing(place.get(`${prefix}manifest.json`, { signal }));
  return stream === undefined ? undefined : parseManifest(await bytesOf(stream, MANIFEST_MAX_BYTES));
}

/** Removes the objects of these attempts from a backup's folder, but for the attempt that the manifest there names. */
export async function discardAttempts(
  place: Destination,
  prefix: string,
  attempts: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const published = await publishedManifest(place, prefix, signal);
  for (const attempt of attempts.filter((one) => one !== published?.attempt)) {
    await place.discard(`${prefix}${attempt}/`, { signal });
  }
}

/** Reads the objects of a manifest back and decodes them in full. @throws CofreError `bad-content`, `not-found`. */
export async function checkObjects(copy: CopyToProve, manifest: Manifest): Promise<void> {
  const { findClients, place, name, prefix, records, signal, onProgress } = copy;
  const { key, sizeBytes, sha256 } = archiveOf(manifest);
  const checked = await checkArchive({
    stream: await place.get(prefix + key, { signal }),
    content: manifest.content,
    file: basename(key),
    clients: await findClients(serverVersionNumber(manifest), manifest.tools['pg_dump']),
    records,
    signal,
    onProgress,
  });
  if (checked.sha256 === sha256 && checked.sizeBytes === sizeBytes) return;
  throw new CofreError('bad-content', `what ${name} gives back is not what was sent: ${key} has another hash`, {
    hint: 'the medium or the way to it damages data; check it before the next backup',
  });
}

/** That of an adopted dump is not known; it is read by the pg_restore of the pg_dump that made it. */
function serverVersionNumber({ server, tools }: Manifest): number {
  return server?.versionNumber ?? Number.parseInt(tools['pg_dump'] ?? '0', 10) * 10_000;
}

async function publish({ catalog, place, prefix, signal }: CopyToProve, manifest: Manifest): Promise<Manifest> {
  // The fence of a host that was frozen while another one dumped again: now only its very next write can be in time.
  await requireCurrentDump(catalog, manifest.backupId, manifest.attempt);
  try {
    await place.put(`${prefix}manifest.json`, bytesBody(manifestBytes(manifest)), { signal });
    return manifest;
  } catch (error) {
    if (!(error instanceof CofreError) || error.code !== 'already-exists') throw error;
    const stands = await publishedManifest(place, prefix, signal);
    if (stands === undefined || stands.attempt === manifest.attempt) throw error;
    return stands;
  }
}

async function adopt(catalog: Catalog, { backupId, attempt, host, content }: Manifest): Promise<void> {
  await recordDump(catalog, {
    backupId,
    attempt,
    host,
    rows: content.rows,
    rawBytes: content.rawBytes,
    warnings: [],
  });
}
