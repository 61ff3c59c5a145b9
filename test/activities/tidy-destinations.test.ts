import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';

import { tidyDestination } from '../../activities/tidy-destinations.ts';
import { finishBackup } from '../../catalog/backups.ts';
import { bytesBody } from '../../destinations/local-file.ts';
import { s3Place } from '../../destinations/s3/place.ts';
import { S3Destination } from '../../destinations/s3/s3.ts';
import { BackupRows } from '../catalog/backup-rows.ts';
import { freshCatalog, type FreshCatalog } from '../catalog/fresh-catalog.ts';
import { keys } from '../destinations/contract.ts';
import { S3Server } from '../s3-server.ts';

const DAY_MS = 86_400_000;
const signal = new AbortController().signal;

let fresh: FreshCatalog;
let rows: BackupRows;
let server: S3Server;
before(async () => {
  server = await S3Server.start();
  fresh = await freshCatalog();
  rows = new BackupRows(fresh.catalog);
});
after(async () => {
  await fresh.drop();
  await server.stop();
});

test('case 45: parts that a killed upload left are removed when no run is alive that needs them, and told', async () => {
  const config = await server.bucket({ prefix: 'p', connections: 1 });
  await s3Place(config).prepare();
  const bucket = new S3Destination('bucket', config);
  const [open, closed] = [await rows.running('a'), await rows.running('a')];
  await finishBackup(fresh.catalog, { backupId: closed, state: 'failed', error: { code: 'run-lost', message: 'no' } });
  const stored = `a/${closed}/a1-1/whole`;
  await bucket.put(stored, bytesBody(Buffer.from('x')));
  const unknown = '20261101T000000Z-ffffffff';
  for (const id of [open, closed, unknown]) {
    const kill = new AbortController();
    const options = { signal: kill.signal, onProgress: () => kill.abort(new Error('killed')) };
    await assert.rejects(bucket.put(`a/${id}/a1-1/data`, bytesBody(randomBytes(13_000_000)), options), /killed/);
  }

  const destination = { name: 'bucket', config };
  const tidy = (now: number): Promise<unknown> => tidyDestination(destination, fresh.catalog, signal, now);
  assert.deepEqual(await tidy(Date.now() + DAY_MS), { removed: [], kept: [] }, 'too young');
  const kept = [`parts of a/${unknown}/a1-1/data in bucket: of a backup that this catalog does not know`];
  const removed = [`parts of a/${closed}/a1-1/data in bucket`];
  assert.deepEqual(await tidy(Date.now() + 4 * DAY_MS), { removed, kept });
  assert.deepEqual(await tidy(Date.now() + 4 * DAY_MS), { removed: [], kept }, 'once');
  assert.deepEqual(await keys(bucket), [stored], 'what is stored stays');
  await bucket.close();
});
