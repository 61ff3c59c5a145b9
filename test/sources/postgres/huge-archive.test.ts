import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { appendFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import type { DumpContent } from '../../../catalog/manifest.ts';
import { checkArchive } from '../../../sources/postgres/check-archive.ts';
import { compressDump } from '../../../sources/postgres/compress.ts';
import { isLong } from '../../long.ts';
import { dump, makeDatabase, makeFolder, testClients } from './nasty-database.ts';

/** Beyond 32 bits at full size. */
const RAW_BYTES = isLong ? 5 * 2 ** 30 : 300 * 2 ** 20;
const INCOMPRESSIBLE_BYTES = isLong ? 600 * 2 ** 20 : 60 * 2 ** 20;
const MAY_GROW_BYTES = 150e6;

/** A file of a table's data: first what cannot be compressed, then a hole, then the end that pg_dump writes. */
async function writeHugeTable(path: string): Promise<{ rows: number; rawBytes: number; rawSha256: string }> {
  const hash = createHash('sha256');
  const end = '\n\\.\n\n\n';
  let lines = 4;
  await writeFile(path, '');
  const piece = 2 ** 20;
  for (let at = 0; at < INCOMPRESSIBLE_BYTES; at += piece) {
    const random = randomBytes(piece);
    for (let next = random.indexOf(10); next >= 0; next = random.indexOf(10, next + 1)) lines += 1;
    hash.update(random);
    await appendFile(path, random);
  }
  await truncate(path, RAW_BYTES);
  const zeros = Buffer.alloc(piece);
  for (let at = INCOMPRESSIBLE_BYTES; at < RAW_BYTES; at += piece) hash.update(zeros);
  await appendFile(path, end);
  return { rows: lines - 3, rawBytes: RAW_BYTES + end.length, rawSha256: hash.update(end).digest('hex') };
}

test('case 23: a huge table is compressed and read back with flat memory, and its size is right', async (t) => {
  const { target } = await makeDatabase(t, 'create table huge as select 1 as a');
  const directory = await makeFolder(t);
  const { content } = await dump(directory, { target, pipeline: 'staged' });
  const [table] = content.tables;
  assert.ok(table?.file);
  const huge = { ...table, ...(await writeHugeTable(join(directory, 'raw', table.file))) };
  const whole: DumpContent = { ...content, tables: [huge], rows: huge.rows, rawBytes: huge.rawBytes };

  const beforeBytes = process.memoryUsage().rss;
  let peakBytes = beforeBytes;
  const look = setInterval(() => (peakBytes = Math.max(peakBytes, process.memoryUsage().rss)), 20);
  t.after(() => clearInterval(look));
  const request = { directory, jobs: 2, scratch: join(directory, 'scratch'), stallMs: 30_000 };
  const archive = await compressDump(request);
  assert.ok(archive.sizeBytes > INCOMPRESSIBLE_BYTES);
  const read = (content: DumpContent) =>
    testClients().then((clients) =>
      checkArchive({ stream: createReadStream(archive.path), file: archive.file, content, clients }),
    );
  assert.deepEqual(await read(whole), { sizeBytes: archive.sizeBytes, sha256: archive.sha256 });
  // Sizes that are the same in 32 bits are not the same.
  const wrapped = { ...whole, tables: [{ ...huge, rawBytes: huge.rawBytes - 2 ** 32 }] };
  if (isLong) await assert.rejects(read(wrapped), { code: 'bad-content' });
  assert.ok(peakBytes - beforeBytes < MAY_GROW_BYTES, `grew by ${Math.round((peakBytes - beforeBytes) / 1e6)} MB`);
});
