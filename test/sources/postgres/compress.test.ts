import assert from 'node:assert/strict';
import { cp, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';

import { compressDump, type CompressRequest } from '../../../sources/postgres/compress.ts';
import { dump, makeDatabase, makeFolder } from './nasty-database.ts';

function requestFor(directory: string): CompressRequest {
  return { directory, jobs: 2, scratch: join(directory, 'scratch'), stallMs: 30_000 };
}

test('the archive depends only on the dump, and a step that was killed anywhere goes on to the same bytes', async (t) => {
  const source = await makeDatabase(t);
  const made = await makeFolder(t);
  await dump(made, { target: source.target, pipeline: 'staged' });
  const copies: string[] = [];
  for (let index = 0; index < 4; index += 1) {
    const copy = await makeFolder(t);
    await cp(join(made, 'raw'), join(copy, 'raw'), { recursive: true });
    copies.push(copy);
  }
  const [other, halfFile, halfTar, killed] = copies as [string, string, string, string];
  const expected = await compressDump(requestFor(made));

  const { sha256 } = await compressDump({ ...requestFor(other), jobs: 1 });
  assert.equal(sha256, expected.sha256, 'with another number of processes');

  // Killed while zstd wrote: the raw file is still there, and what stands beside it is not to be trusted.
  const name = (await largest(join(halfFile, 'raw'))) ?? '';
  await writeFile(join(halfFile, 'raw', `${name}.zst`), 'half of a frame');
  assert.equal((await compressDump(requestFor(halfFile))).sha256, expected.sha256);

  // Killed while tar wrote, and again after the archive had its name but before the raw files were gone.
  await writeFile(join(halfTar, 'database.tar.part'), 'half of a tar');
  assert.equal((await compressDump(requestFor(halfTar))).sha256, expected.sha256);
  await cp(join(killed, 'raw'), join(halfTar, 'raw'), { recursive: true });
  assert.equal((await compressDump(requestFor(halfTar))).sha256, expected.sha256);
  await assert.rejects(stat(join(halfTar, 'raw')), { code: 'ENOENT' });

  for (const afterMs of [0, 5, 20, 60]) {
    const stop = new AbortController();
    const running = compressDump({ ...requestFor(killed), signal: stop.signal });
    await Promise.all([sleep(afterMs).then(() => stop.abort()), running.catch(() => undefined)]);
  }
  assert.equal((await compressDump(requestFor(killed))).sha256, expected.sha256);
});

test('a folder without a dump is refused', async (t) => {
  await assert.rejects(compressDump(requestFor(await makeFolder(t))), { code: 'not-found' });
});

test('thousands of files do not cost a process each', async (t) => {
  const directory = await makeFolder(t);
  const source = await makeDatabase(
    t,
    "select lo_from_bytea(0, decode(repeat('ab', 5000), 'hex')) from generate_series(1, 2000)",
  );
  await dump(directory, { target: source.target, pipeline: 'staged' });
  const startedAt = performance.now();
  const { path } = await compressDump(requestFor(directory));
  assert.ok(performance.now() - startedAt < 10_000);
  assert.ok((await readFile(path)).includes('.dat.zst'));
});

async function largest(folder: string): Promise<string | undefined> {
  const sizes = await Promise.all(
    (await readdir(folder)).map(async (name) => ({ name, size: (await stat(join(folder, name))).size })),
  );
  return sizes.sort((a, b) => b.size - a.size)[0]?.name;
}
