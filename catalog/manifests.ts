import { createHash } from 'node:crypto';

import { CofreError } from '../errors/error.ts';
import { unknownBackup } from './backups.ts';
import type { Manifest } from './manifest.ts';
import type { Catalog } from './open.ts';
import { checkManifest, manifestBytes } from './parse-manifest.ts';

/**
 * Stores the manifest of a backup. May be called again with the same one.
 * @throws CofreError `already-exists` when the backup has another: a second dump of it, which came too late.
 */
export async function storeManifest(catalog: Catalog, manifest: Manifest): Promise<void> {
  const bytes = manifestBytes(manifest);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  await catalog.query(
    `INSERT INTO cofre.manifests (backup_id, sha256, snapshot_at, document)
     SELECT id, $2, $3, $4::jsonb FROM cofre.backups WHERE id = $1 ON CONFLICT (backup_id) DO NOTHING`,
    [manifest.backupId, sha256, manifest.snapshotAt, bytes.toString('utf8')],
  );
  const [stored] = await catalog.query<{ sha256: string }>('SELECT sha256 FROM cofre.manifests WHERE backup_id = $1', [
    manifest.backupId,
  ]);
  if (stored === undefined) throw unknownBackup(manifest.backupId);
  if (stored.sha256 === sha256) return;
  throw new CofreError('already-exists', `the backup ${manifest.backupId} has another manifest already`);
}

/** The manifest of a backup. @throws CofreError `not-known` when the catalog has none. */
export async function getManifest(catalog: Catalog, backupId: string): Promise<Manifest> {
  const [row] = await catalog.query<{ document: unknown }>(
    'SELECT document FROM cofre.manifests WHERE backup_id = $1',
    [backupId],
  );
  if (row === undefined) {
    throw new CofreError('not-known', `the catalog has no manifest of the backup ${backupId.slice(0, 80)}`, {
      hint: '`cofre show` says how far that backup came',
    });
  }
  return checkManifest(row.document);
}
