import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Readable } from 'node:stream';
import { inspect } from 'node:util';

import type { Body, Destination } from '../../destinations/destination.ts';
import { bytesBody } from '../../destinations/local-file.ts';
import type { CofreError } from '../../errors/error.ts';
import { gatedBody } from './gated-body.ts';

/** An empty place for one test: `open` gives a new handle on it. */
export interface PreparedPlace {
  open(): Destination;
  /** The same place as somebody sees it who may not store there; `cleanUp` closes nothing of it. */
  denied(): Promise<Destination>;
  /** Another place, prepared, with room for less than 4 MB. */
  full(): Promise<Destination>;
  cleanUp(): Promise<void>;
  /** A secret that belongs to it, if any. */
  readonly secret?: string;
}

/** What every destination promises. A driver's own test file is only its set-up, and what it alone must show. */
export function describeDestination(name: string, prepare: (title: string) => Promise<PreparedPlace>): void {
  describe(`${name} keeps the contract`, () => {
    let place: PreparedPlace;
    let one: Destination;
    let two: Destination;
    const opened: Destination[] = [];
    const another = (): Destination => {
      const handle = place.open();
      opened.push(handle);
      return handle;
    };
    beforeEach(async (context) => {
      place = await prepare(context.name);
      one = another();
      two = another();
    });
    afterEach(async () => {
      for (const handle of [...opened, one]) await handle.close();
      opened.length = 0;
      await place.cleanUp();
    });

    // The last crosses the border between the parts of a multipart upload.
    for (const size of [0, 1, 100_000, 12_582_912]) {
      test(`gives back ${size} bytes as they were put`, async () => {
        const bytes = randomBytes(size);
        const progress: number[] = [];
        const stored = await one.put('a/b/data', bytesBody(bytes), { onProgress: (done) => progress.push(done) });
        assert.deepEqual(stored, { key: 'a/b/data', sizeBytes: size });
        assert.ok(bytes.equals(await read(one, 'a/b/data')));
        assert.deepEqual(await one.stat('a/b/data'), stored);
        if (size > 0) assert.equal(progress.at(-1), size);
      });
    }

    test('shows a put to another handle at once', async () => {
      await one.put('seen', bytesBody(Buffer.from('x')));
      assert.equal((await two.stat('seen')).sizeBytes, 1);
      assert.equal((await read(two, 'seen')).toString(), 'x');
      assert.deepEqual(await keys(two), ['seen']);
    });

    test('rejects a missing key before any byte is read', async () => {
      await one.put('folder/there', bytesBody(Buffer.from('x')));
      for (const key of ['missing', 'folder/missing', 'folder', 'missing/there', 'folder/there/below']) {
        await assert.rejects(one.get(key), { code: 'not-found' }, key);
        await assert.rejects(one.stat(key), { code: 'not-found' }, key);
      }
    });

    test('never changes what is stored', async () => {
      await one.put('once', bytesBody(Buffer.from('first')));
      for (const other of ['other', 'longer than the first', '']) {
        await assert.rejects(two.put('once', bytesBody(Buffer.from(other))), { code: 'already-exists' }, other);
      }
      assert.equal((await read(one, 'once')).toString(), 'first');
    });

    test('accepts the same bytes again, as after a lost reply', async () => {
      const body = bytesBody(randomBytes(100_000));
      const first = await one.put('again', body);
      assert.deepEqual(await one.put('again', body), first);
      assert.deepEqual(await two.put('again', body), first);
    });

    test('lets exactly one of several writers win', async () => {
      const bodies = Array.from({ length: 6 }, () => randomBytes(300_000));
      const outcomes = await Promise.allSettled(bodies.map((bytes) => another().put('race', bytesBody(bytes))));
      const winners = outcomes.flatMap(({ status }, index) => (status === 'fulfilled' ? [index] : []));
      assert.equal(winners.length, 1);
      for (const outcome of outcomes) {
        if (outcome.status === 'rejected') assert.equal((outcome.reason as { code: string }).code, 'already-exists');
      }
      assert.ok(bodies[winners[0] ?? 0]?.equals(await read(one, 'race')));
      assert.deepEqual(await keys(one), ['race']);
    });

    test('lets all of several writers of the same bytes succeed', async () => {
      const body = bytesBody(randomBytes(300_000));
      await Promise.all(Array.from({ length: 6 }, () => another().put('same', body)));
      assert.deepEqual(await keys(one), ['same']);
    });

    test('shows nothing of a put under way, and then all of it', async () => {
      const body = gatedBody(randomBytes(3_000_000));
      const put = one.put('a/whole', body);
      await body.halfWay;
      await sleep(50);
      await assert.rejects(two.stat('a/whole'), { code: 'not-found' });
      await assert.rejects(two.get('a/whole'), { code: 'not-found' });
      assert.deepEqual(await keys(two), []);
      body.goOn();
      await put;
      assert.deepEqual(await keys(two), ['a/whole']);
      assert.equal((await read(two, 'a/whole')).length, 3_000_000);
    });

    test('leaves nothing behind when the source fails, and passes on the source’s own error', async () => {
      // It looks like a file system's error, and is not the destination's.
      const failure = Object.assign(new Error('spawn pg_dump ENOENT'), { code: 'ENOENT' });
      const body: Body = {
        ...bytesBody(randomBytes(10)),
        open: () =>
          Readable.from(
            (function* () {
              yield Buffer.from('half');
              throw failure;
            })(),
          ),
      };
      await assert.rejects(one.put('a/failed', body), (error) => error === failure);
      assert.deepEqual(await keys(one), []);
      await one.put('a/failed', bytesBody(Buffer.from('then it works')));
    });

    test('leaves nothing behind when cancelled, and passes on the reason', async () => {
      const reason = new Error('the operator cancelled');
      const controller = new AbortController();
      const body = gatedBody(randomBytes(3_000_000));
      const put = one.put('a/cancelled', body, { signal: controller.signal });
      await body.halfWay;
      controller.abort(reason);
      await assert.rejects(put, (error) => error === reason);
      assert.deepEqual(await keys(one), []);
      for (const call of [
        () => one.put('a/cancelled', bytesBody(Buffer.from('x')), { signal: controller.signal }),
        () => one.get('a/cancelled', { signal: controller.signal }),
        () => one.stat('a/cancelled', { signal: controller.signal }),
        () => one.remove('a/cancelled', { signal: controller.signal }),
        () => keys(one, '', controller.signal),
      ]) {
        await assert.rejects(call, (error) => error === reason);
      }
      await one.put('a/cancelled', bytesBody(Buffer.from('then it works')));
    });

    test('a reader can be cancelled, with the reason', async () => {
      await one.put('long', bytesBody(randomBytes(8_000_000)));
      const reason = new Error('enough');
      const controller = new AbortController();
      const stream = await one.get('long', { signal: controller.signal });
      const reading = (async () => {
        for await (const chunk of stream) {
          assert.ok(chunk);
          controller.abort(reason);
        }
      })();
      await assert.rejects(reading, (error) => error === reason);
    });

    test('what is cancelled before anybody reads is told to whoever reads it, and ends no process', async () => {
      await one.put('long', bytesBody(randomBytes(100_000)));
      const reason = new Error('enough');
      const controller = new AbortController();
      const stream = await one.get('long', { signal: controller.signal });
      controller.abort(reason);
      // An error that nobody hears would be thrown by now.
      await new Promise((resolve) => setTimeout(resolve, 20));
      await assert.rejects(
        (async () => {
          for await (const chunk of stream) assert.ok(chunk);
        })(),
        (error) => error === reason,
      );
    });

    test('stores nothing of a body that gives other bytes than it announced', async () => {
      const bytes = randomBytes(500_000);
      const honest = bytesBody(bytes);
      const lies: [string, Body][] = [
        ['too few', { ...honest, sizeBytes: bytes.length + 1 }],
        ['too many', { ...honest, sizeBytes: bytes.length - 1 }],
        ['nothing at all', { ...honest, open: () => Readable.from([], { objectMode: false }) }],
        ['another hash', { ...honest, sha256: createHash('sha256').update('other').digest('hex') }],
      ];
      for (const [what, body] of lies) {
        await assert.rejects(one.put('a/lie', body), { code: 'bad-content' }, what);
        assert.deepEqual(await keys(one), [], what);
      }
      await one.put('a/lie', honest);
    });

    test('reads ranges; what begins at or beyond the end is refused', async () => {
      const bytes = randomBytes(2_500_000);
      await one.put('range', bytesBody(bytes));
      await one.put('empty', bytesBody(Buffer.alloc(0)));
      for (const [start, length] of [
        [0, 1],
        [0, 2_500_000],
        [1_048_575, 2],
        [2_499_999, 1],
        [2_400_000, 999_999],
      ] as const) {
        const part = await read(one, 'range', { start, length });
        assert.ok(part.equals(bytes.subarray(start, start + length)), `${start}+${length}`);
      }
      for (const range of [
        { start: 2_500_000, length: 1 },
        { start: 9_999_999, length: 1 },
        { start: -1, length: 1 },
        { start: 0, length: 0 },
        { start: 0.5, length: 1 },
      ]) {
        await assert.rejects(one.get('range', { range }), { code: 'invalid-range' });
      }
      await assert.rejects(one.get('empty', { range: { start: 0, length: 1 } }), { code: 'invalid-range' });
    });

    test('lists each object below a prefix once', async () => {
      const expected = Array.from({ length: 25 }, (_, index) => `env/backup-${index}/part/data`);
      const others = ['env/top', 'environment/other', 'envelope'];
      for (const key of [...expected, ...others]) await one.put(key, bytesBody(Buffer.from(key)));
      assert.deepEqual(await keys(two), [...expected, ...others].sort());
      assert.deepEqual(await keys(two, 'env/'), [...expected, 'env/top'].sort());
      assert.deepEqual(await keys(two, 'env/backup-7/'), ['env/backup-7/part/data']);
      assert.deepEqual(await keys(two, 'nothing/'), []);
      for await (const { key, sizeBytes } of two.list('')) assert.equal(sizeBytes, key.length);
    });

    test('removes, and removes again', async () => {
      await one.put('a/b/c', bytesBody(Buffer.from('x')));
      await one.put('a/b/d', bytesBody(Buffer.from('y')));
      for (const handle of [one, one, two]) await handle.remove('a/b/c');
      await one.remove('never/there');
      await one.remove('a/b');
      assert.deepEqual(await keys(two), ['a/b/d']);
      await one.remove('a/b/d');
      await one.put('a/b/c', bytesBody(Buffer.from('a new one')));
    });

    test('case 37: says no-space where there is no room, and keeps nothing of it', async () => {
      const full = await place.full();
      await full.put('a/small', bytesBody(Buffer.from('x')));
      await assert.rejects(full.put('a/large', bytesBody(randomBytes(12_000_000))), { code: 'no-space' });
      assert.deepEqual(await keys(full), ['a/small']);
      await full.discard('a/');
      await full.put('a/again', bytesBody(randomBytes(1_000_000)));
      await full.close();
    });

    test('says access-denied to who may not store, without a secret, and stores nothing', async () => {
      const denied = await place.denied();
      await assert.rejects(denied.put('a/b', bytesBody(Buffer.from('x'))), (error) => {
        assert.equal((error as CofreError).code, 'access-denied');
        if (place.secret !== undefined)
          assert.ok(!inspect(error, { depth: 10, showHidden: true }).includes(place.secret));
        return true;
      });
      await denied.close();
      assert.deepEqual(await keys(one), []);
    });

    test('discards what lies below a prefix and what is on its way there, and nothing else', async () => {
      for (const key of ['a/b/c', 'a/b/d/e', 'a/bc', 'a/z']) await one.put(key, bytesBody(Buffer.from(key)));
      // Large enough to be on its way for long: what goes in one request is there or is not.
      const bytes = randomBytes(14_000_000);
      const halfWay = new EventEmitter();
      async function* slowly(): AsyncGenerator<Buffer> {
        yield bytes.subarray(0, 7_000_000);
        const goOn = once(halfWay, 'go on');
        halfWay.emit('reached');
        await goOn;
        yield bytes.subarray(7_000_000);
      }
      const reached = once(halfWay, 'reached');
      const open = (): Readable => Readable.from(slowly(), { objectMode: false });
      const stored = once(halfWay, 'stored');
      const onProgress = (): boolean => halfWay.emit('stored');
      const put = assert.rejects(one.put('a/b/slow', { ...bytesBody(bytes), open }, { onProgress }));
      await Promise.all([reached, stored]);
      for (const handle of [two, two, one]) await handle.discard('a/b/');
      halfWay.emit('go on');
      await put;
      await two.discard('never/there/');
      for (const prefix of ['', 'a/b', '../'])
        await assert.rejects(two.discard(prefix), { code: 'invalid-key' }, prefix);
      assert.deepEqual(await keys(two), ['a/bc', 'a/z']);
      await two.put('a/b/c', bytesBody(Buffer.from('a new one')));
      assert.deepEqual(await keys(two), ['a/b/c', 'a/bc', 'a/z']);
    });

    test('case 101: refuses keys that not every place can hold', async () => {
      const wrong = [
        '',
        '/a',
        'a/',
        'a//b',
        '../a',
        'a/../b',
        '.',
        '..',
        'a/.',
        'a b',
        'a\\b',
        'ä',
        'a\0b',
        'a\nb',
        '.a',
        'a/.b',
        ...[
          '%2e%2e/a',
          'a/%2e%2e/b',
          'a%2fb',
          'a%00',
          '..%5ca',
          'a\u2215b',
          'a\uff0fb',
          '\uff0e\uff0e/a',
          'a\u0301',
          '\u202ea',
        ],
        ...['cofre.json', '~', '$HOME', 'a:b', 'a?b', 'a#b', 'a;b'],
        ...['a'.repeat(201), `${'a/'.repeat(600)}a`, 'a'.repeat(2000)],
      ];
      for (const key of wrong) {
        await assert.rejects(one.put(key, bytesBody(Buffer.from('x'))), { code: 'invalid-key' }, key);
        await assert.rejects(one.get(key), { code: 'invalid-key' }, key);
        await assert.rejects(one.stat(key), { code: 'invalid-key' }, key);
        await assert.rejects(one.remove(key), { code: 'invalid-key' }, key);
      }
      await one.put('A-z_0.9=/manifest.json', bytesBody(Buffer.from('x')));
    });

    test('case 101: refuses a prefix that could match half a name or leave the place', async () => {
      for (const prefix of [
        'a',
        'a/b',
        '/',
        '/a/',
        'a//',
        '../',
        'a/../',
        '%2e%2e/',
        'a b/',
        'a\0/',
        `${'a'.repeat(2000)}/`,
      ]) {
        await assert.rejects(keys(one, prefix), { code: 'invalid-key' }, prefix);
      }
    });

    test('case 130: is the same place to every handle, before and after something is stored', async () => {
      const id = await one.identity();
      assert.match(id, /^\S{8,}$/);
      await one.put('a/b/c', bytesBody(Buffer.from('x')));
      assert.equal(await two.identity(), id);
    });

    test('names itself without secrets', () => {
      const url = new URL(one.url);
      assert.equal(url.password, '');
      assert.equal(url.search, '');
      if (place.secret !== undefined) assert.ok(!one.url.includes(place.secret));
    });
  });
}

export async function read(
  destination: Destination,
  key: string,
  range?: { start: number; length: number },
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const stream = await destination.get(key, range === undefined ? {} : { range });
  for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export async function keys(destination: Destination, prefix = '', signal?: AbortSignal): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of destination.list(prefix, { signal })) found.push(key);
  return found.sort();
}
