import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { digestFiles } from '../../../sources/postgres/digest-files.ts';
import { parseRawFile, type RawFile } from '../../../sources/postgres/raw-files.ts';
import { makeFolder } from './nasty-database.ts';

const MEGABYTE = 1024 * 1024;

function fileOf(name: string): RawFile {
  const file = parseRawFile(name);
  assert.ok(file);
  return file;
}

test('files are hashed and counted the same, whether here or in threads', async (t) => {
  const folder = await makeFolder(t);
  const small = `${'a row\n'.repeat(1000)}\\.\n\n\n`;
  await writeFile(join(folder, '1.dat'), small);
  await writeFile(join(folder, '2.dat'), 'x'.repeat(9 * MEGABYTE));
  const here = await digestFiles(folder, [fileOf('1.dat')], { jobs: 3 });
  assert.deepEqual(here.get('1.dat'), {
    rawBytes: small.length,
    sha256: createHash('sha256').update(small).digest('hex'),
    rows: 1000,
  });
  const inThreads = await digestFiles(folder, [fileOf('1.dat'), fileOf('2.dat')], { jobs: 3 });
  assert.deepEqual(inThreads.get('1.dat'), here.get('1.dat'));
  assert.equal(inThreads.get('2.dat')?.rawBytes, 9 * MEGABYTE);
  assert.equal(inThreads.get('2.dat')?.rows, null, 'it does not end as the data of a table do');
});

test('a file that cannot be read fails the whole, and a cancel does not wait', async (t) => {
  const folder = await makeFolder(t);
  await writeFile(join(folder, '2.dat'), 'x'.repeat(20 * MEGABYTE));
  const many = Array.from({ length: 2000 }, () => fileOf('2.dat'));
  const missing = fileOf('blob_3.dat');
  await assert.rejects(digestFiles(folder, [fileOf('2.dat'), missing], { jobs: 2 }), { code: 'ENOENT' });
  const stop = new AbortController();
  const reason = new Error('cancelled by the test');
  const digesting = digestFiles(folder, many, { jobs: 2, signal: stop.signal });
  setTimeout(() => stop.abort(reason), 200);
  await assert.rejects(digesting, reason);
});
