import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { test } from 'node:test';

import type { Pipeline } from '../../../catalog/manifest.ts';
import { CofreError } from '../../../errors/error.ts';
import type { DumpResult } from '../../../sources/postgres/dump.ts';
import { check as checkSample, inPieces, makeSample, membersOf, samplesOf } from './archive-sample.ts';
import { makeDatabase } from './nasty-database.ts';

const sampleOf = samplesOf();

function check(
  pipeline: Pipeline,
  stream: Readable,
  options: { signal?: AbortSignal; content?: DumpResult['content'] } = {},
) {
  return checkSample(sampleOf(pipeline), stream, options);
}

for (const pipeline of ['staged', 'streamed'] as const) {
  test(`${pipeline}: a good archive passes, in pieces of any size, and gives its size and hash`, async () => {
    const { bytes, path, sha256 } = sampleOf(pipeline);
    for (const stream of [createReadStream(path), inPieces(bytes), inPieces(bytes, 511), Readable.from([bytes])]) {
      assert.deepEqual(await check(pipeline, stream), { sizeBytes: bytes.length, sha256 });
    }
  });

  test(`${pipeline}: a flipped bit anywhere is found, by the check or by the hash`, async () => {
    const { bytes, sha256 } = sampleOf(pipeline);
    for (let step = 0; step < 40; step += 1) {
      const damaged = Buffer.from(bytes);
      const at = Math.floor((step / 40) * bytes.length) + step;
      damaged[at] = (damaged[at] ?? 0) ^ 0x10;
      const result = await check(pipeline, inPieces(damaged)).catch((error: unknown) => error);
      if (result instanceof Error) {
        assert.ok(result instanceof CofreError && result.code === 'bad-content', `at ${at}: ${result.message}`);
      } else {
        // Bytes that are no content, such as an owner's number in a header, are told by the whole object's hash.
        assert.notEqual((result as { sha256: string }).sha256, sha256);
        assert.equal((result as { sha256: string }).sha256, createHash('sha256').update(damaged).digest('hex'));
      }
    }
  });

  test(`case 21: a ${pipeline} archive that ends early is damaged, wherever it ends`, async () => {
    const { bytes } = sampleOf(pipeline);
    for (const size of [0, 1, 511, 512, 600, Math.floor(bytes.length / 2), bytes.length - 10_240, bytes.length - 1]) {
      if (pipeline === 'staged' && size === bytes.length - 1) continue; // only padding is cut: the hash tells
      await assert.rejects(
        check(pipeline, inPieces(bytes.subarray(0, size))),
        { code: 'bad-content' },
        `${size} bytes`,
      );
    }
  });

  test(`${pipeline}: an archive that is not the one of the manifest is damaged, and the table is named`, async () => {
    const { bytes, dumped } = sampleOf(pipeline);
    const tables = dumped.content.tables.map((table) =>
      table.name === 'big' ? { ...table, rows: table.rows + 1 } : table,
    );
    const wrongRows = { ...dumped.content, tables };
    await assert.rejects(check(pipeline, inPieces(bytes), { content: wrongRows }), {
      code: 'bad-content',
      message: /table public\.big/,
    });
    const first = { ...dumped.content, tables: dumped.content.tables.slice(1) };
    await assert.rejects(check(pipeline, inPieces(bytes), { content: first }), { code: 'bad-content' });
    const more = [
      ...dumped.content.tables,
      { schema: 's', name: 'lost', rows: 0, rawBytes: 5, rawSha256: null, file: '99999.dat' },
    ];
    await assert.rejects(check(pipeline, inPieces(bytes), { content: { ...dumped.content, tables: more } }), {
      code: 'bad-content',
    });
  });

  test(`${pipeline}: a cancelled check ends with the reason given`, async () => {
    const { bytes } = sampleOf(pipeline);
    const stop = new AbortController();
    const reason = new Error('cancelled by the test');
    const stream = new Readable({ read: () => undefined });
    stream.push(bytes.subarray(0, bytes.length / 2));
    setTimeout(() => stop.abort(reason), 100);
    await assert.rejects(check(pipeline, stream, { signal: stop.signal }), reason);
    assert.ok(stream.destroyed);
  });

  test(`${pipeline}: a check that is cancelled before it begins ends with the reason given, and ends nothing else`, async () => {
    const reason = new Error('cancelled by the test');
    const signal = AbortSignal.abort(reason);
    await assert.rejects(check(pipeline, inPieces(sampleOf(pipeline).bytes), { signal }), reason);
  });

  test(`${pipeline}: a failure of the destination passes through`, async () => {
    const { bytes } = sampleOf(pipeline);
    const failure = new CofreError('destination-unavailable', 'the network is gone');
    const stream = new Readable({ read: () => undefined });
    stream.push(bytes.subarray(0, bytes.length / 2));
    setTimeout(() => stream.destroy(failure), 100);
    await assert.rejects(check(pipeline, stream), failure);
  });
}

test('members that changed places, are missing, come twice or are foreign are found', async () => {
  const { bytes, dumped } = sampleOf('staged');
  const members = membersOf(bytes);
  const files = dumped.content.tables.flatMap(({ file, rawBytes }) =>
    rawBytes !== null && rawBytes >= 4096 ? [`${file}.zst`] : [],
  );
  const [a, b] = files.slice(0, 2).map((file) => members.get(file));
  assert.ok(a !== undefined && b !== undefined && a.end <= b.start, `two compressed tables: ${files.join()}`);
  const swapped = Buffer.concat([
    ...[bytes.subarray(0, a.start + 100), bytes.subarray(b.start + 100, b.end), bytes.subarray(a.end, b.start + 100)],
    ...[bytes.subarray(a.start + 100, a.end), bytes.subarray(b.end)],
  ]);
  const missing = Buffer.concat([bytes.subarray(0, a.start), bytes.subarray(a.end)]);
  const twice = Buffer.concat([bytes.subarray(0, a.end), bytes.subarray(a.start)]);
  const foreign = Buffer.from(bytes);
  foreign.write('../../x', a.start, 'latin1');
  for (const damaged of [swapped, missing, twice, foreign]) {
    await assert.rejects(check('staged', inPieces(damaged)), { code: 'bad-content' });
  }
});

/** Gives a member another name, with the checksum that belongs to it: POSIX ustar, eight bytes at 148. */
function rename(tar: Buffer, start: number, name: string): void {
  tar.fill(0, start, start + 100).write(name, start, 'latin1');
  tar.fill(' ', start + 148, start + 156);
  const sum = tar.subarray(start, start + 512).reduce((total, byte) => total + byte, 0);
  tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, start + 148, 'latin1');
}

test('large objects that changed places are found', async () => {
  const { bytes } = sampleOf('staged');
  const uncompressed = [...membersOf(bytes)].filter(([name]) => /^blob_.*\.dat$/.test(name));
  const [first, second] = uncompressed;
  assert.ok(first !== undefined && second !== undefined);
  const swapped = Buffer.from(bytes);
  rename(swapped, first[1].start, second[0]);
  rename(swapped, second[1].start, first[0]);
  await assert.rejects(check('staged', inPieces(swapped)), { code: 'bad-content', message: /large objects/ });
});

test('archives of a database without tables, or with small ones only, are good', async (t) => {
  for (const sql of ['', 'create table a (b int); insert into a values (1)']) {
    const source = await makeDatabase(t, sql);
    for (const pipeline of ['staged', 'streamed'] as const) {
      const sample = await makeSample(t, source, pipeline);
      assert.equal((await checkSample(sample, createReadStream(sample.path))).sha256, sample.sha256);
    }
  }
});
