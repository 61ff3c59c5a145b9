import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { Spool } from '../../activities/spool.ts';
import { tidyUploads } from '../../activities/tidy-uploads.ts';
import { finishBackup } from '../../catalog/backups.ts';
import { gcsPlace } from '../../destinations/gcs/place.ts';
import { bytesBody } from '../../destinations/local-file.ts';
import { withDestination } from '../../destinations/open.ts';
import { BackupRows } from '../catalog/backup-rows.ts';
import { freshCatalog, type FreshCatalog } from '../catalog/fresh-catalog.ts';
import { GcsServer } from '../gcs-server.ts';

const DAY_MS = 86_400_000;

let fresh: FreshCatalog;
let rows: BackupRows;
let server: GcsServer;
let folder: string;
before(async () => {
  server = await GcsServer.start();
  folder = await mkdtemp(join(tmpdir(), 'cofre-spool-'));
  fresh = await freshCatalog();
  rows = new BackupRows(fresh.catalog);
});
after(async () => {
  await fresh.drop();
  await server.stop();
  await rm(folder, { recursive: true });
});

test('case 45: the address of an upload that a killed worker left goes when no run needs it, or the service has forgotten it', async () => {
  const spool = new Spool(join(folder, 'spool'), '1%');
  const config = await server.bucket({ prefix: 'p' });
  await gcsPlace(config).prepare();
  const [open, closed, complete] = [await rows.running('a'), await rows.running('a'), await rows.verified('a')];
  await finishBackup(fresh.catalog, { backupId: closed, state: 'failed', error: { code: 'run-lost', message: 'no' } });
  await finishBackup(fresh.catalog, { backupId: complete, state: 'complete', error: null });
  const bytes = bytesBody(randomBytes(17 * 1024 * 1024));
  for (const id of [open, closed, complete]) {
    const kill = new AbortController();
    const options = { signal: kill.signal, onProgress: () => kill.abort(new Error('killed')) };
    const put = withDestination('bucket', config, (place) => place.put(`a/${id}/a1-1/data`, bytes, options), {
      uploads: spool.uploads,
    });
    await assert.rejects(put, /killed/);
  }
  await writeFile(join(spool.uploads, 'x.part'), 'half of one');
  const told = (id: string): string => `the unfinished upload of p/a/${id}/a1-1/data to ${config.bucket}`;
  const tidy = async (now: number): Promise<string[]> =>
    [...(await tidyUploads(spool, fresh.catalog, now)).removed].sort();
  assert.deepEqual(await tidy(Date.now()), [told(closed)], 'a copy that is missing may still be made');
  assert.equal((await readdir(spool.uploads)).length, 3);
  assert.deepEqual(await tidy(Date.now() + 8 * DAY_MS), [told(open), told(complete)].sort());
  assert.deepEqual(await readdir(spool.uploads), []);
});
