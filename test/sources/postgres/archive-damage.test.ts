import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';

import { Random } from '../../../bench/random.ts';
import { check, inPieces, membersOf, samplesOf, type Sample } from './archive-sample.ts';
import { makeFolder, testClients } from './nasty-database.ts';

const sampleOf = samplesOf(`create table big as select g as id, md5(g::text) as body from generate_series(1, 4000) g;
     create table small as select g as id, 'Conceição ' || g as name from generate_series(1, 20) g;
     select lo_from_bytea(0, 'a small object')`);

/** What a restorer would look at first, and which proves nothing. */
async function listsFine(archive: string): Promise<void> {
  const { pgRestore } = await testClients();
  assert.match(execFileSync(pgRestore, ['--list', archive], { encoding: 'utf8' }), /TABLE DATA public big/);
}

function zstd(args: readonly string[], input: Buffer): Buffer {
  // The frame says how large its content is, as that of a file does.
  const size = args.includes('-d') ? [] : [`--stream-size=${input.length}`];
  return execFileSync('zstd', ['-q', '-c', ...size, ...args], { input, maxBuffer: 64 * 1024 * 1024 });
}

function passesZstdTest(frame: Buffer): boolean {
  try {
    execFileSync('zstd', ['-q', '-t'], { input: frame, stdio: ['pipe', 'ignore', 'ignore'] });
    return true;
  } catch {
    return false;
  }
}

/** The sample as a tar again, with one member's raw data changed. */
async function repack(
  t: TestContext,
  sample: Sample,
  member: string,
  change: (path: string) => Promise<void>,
): Promise<{ tar: Buffer; folder: string }> {
  const folder = join(await makeFolder(t), 'members');
  await mkdir(folder);
  const names = [...membersOf(sample.bytes).keys()];
  execFileSync('tar', ['--extract', `--file=${sample.path}`, `--directory=${folder}`]);
  await change(join(folder, member));
  const args = ['--create', '--format=gnu', '--file=-', `--directory=${folder}`, ...names];
  return { tar: execFileSync('tar', args, { maxBuffer: 64 * 1024 * 1024 }), folder };
}

function bigMember({ dumped }: Sample): string {
  return `${dumped.content.tables.find(({ name }) => name === 'big')?.file}.zst`;
}

test('case 48: a streamed archive that lists fine and whose data are cut fails', async (t) => {
  const sample = sampleOf('streamed');
  const raw = zstd(['-d'], sample.bytes);
  const cut = raw.subarray(0, Math.floor(raw.length * 0.7));
  const path = join(await makeFolder(t), 'cut.dump');
  await writeFile(path, cut);
  await listsFine(path);
  await assert.rejects(check(sample, inPieces(zstd(['-3'], cut))), { code: 'bad-content' });
});

test('case 48: a staged archive that lists fine and of which one table is cut fails, and names it', async (t) => {
  const sample = sampleOf('staged');
  const { tar, folder } = await repack(t, sample, bigMember(sample), async (path) => {
    const raw = zstd(['-d'], await readFile(path));
    await writeFile(path, zstd(['-3'], raw.subarray(0, raw.length - 100)));
  });
  await listsFine(folder);
  await assert.rejects(check(sample, inPieces(tar)), { code: 'bad-content', message: /public\.big/ });
});

test('case 49: a flip anywhere in what lies uncompressed is found by the hash of that very content', async () => {
  const sample = sampleOf('staged');
  const uncompressed = [...membersOf(sample.bytes)].filter(([name]) => name.endsWith('.dat'));
  assert.deepEqual(
    uncompressed.map(([name]) => name.replace(/\d+/, 'N')),
    ['toc.dat', 'N.dat', 'blob_N.dat'],
  );
  const seed = randomInt(2 ** 31);
  const random = new Random(seed);
  for (const [name, { start, sizeBytes }] of uncompressed) {
    const offsets = [0, sizeBytes - 1, ...Array.from({ length: 10 }, () => random.below(sizeBytes))];
    for (const offset of offsets) {
      const damaged = Buffer.from(sample.bytes);
      const at = start + 512 + offset;
      damaged[at] = (damaged[at] ?? 0) ^ 1;
      const named = { t: /table of contents/, b: /large objects/ }[name.charAt(0)] ?? /the table public\.small/;
      await assert.rejects(
        check(sample, inPieces(damaged)),
        { code: 'bad-content', message: named },
        `${name} at ${offset}, seed ${seed}`,
      );
    }
  }
});

for (const pipeline of ['staged', 'streamed'] as const) {
  test(`case 22: a flip in a ${pipeline} archive that zstd itself does not see is found by the hash`, async (t) => {
    const sample = sampleOf(pipeline);
    const seed = randomInt(2 ** 31);
    const random = new Random(seed);
    /** A frame without a checksum, with a flip that passes `zstd -t`. */
    const damage = (raw: Buffer): Buffer => {
      const frame = zstd(['-3', '--no-check'], raw);
      for (let tries = 0; tries < 200; tries += 1) {
        const damaged = Buffer.from(frame);
        const at = 20 + random.below(frame.length - 20);
        damaged[at] = (damaged[at] ?? 0) ^ (1 << random.below(8));
        if (passesZstdTest(damaged) && !zstd(['-d'], damaged).equals(raw)) return damaged;
      }
      throw new Error(`no flip passed zstd -t, seed ${seed}`);
    };
    let bytes: Buffer;
    if (pipeline === 'streamed') bytes = damage(zstd(['-d'], sample.bytes));
    else {
      const change = async (path: string): Promise<void> =>
        await writeFile(path, damage(zstd(['-d'], await readFile(path))));
      bytes = (await repack(t, sample, bigMember(sample), change)).tar;
    }
    const checked = await check(sample, inPieces(bytes)).catch((error: unknown) => error);
    const found =
      checked instanceof Error
        ? 'code' in checked && checked.code === 'bad-content'
        : (checked as { sha256: string }).sha256 !== sample.sha256;
    assert.ok(found, `seed ${seed}`);
    if (pipeline === 'staged')
      assert.match(String(checked), /the data of the table public\.big are not those that were dumped/);
  });
}
