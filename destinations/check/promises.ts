import { randomBytes } from 'node:crypto';
import type { Readable } from 'node:stream';

import { ALIAS_NAME } from '../../config/alias.ts';
import type { DestinationConfig } from '../../config/destination-schema.ts';
import { CofreError, messageOf } from '../../errors/error.ts';
import type { Destination, GetOptions } from '../destination.ts';
import { bytesBody } from '../local-file.ts';
import { halfWayBody } from './half-way.ts';

/** Two handles of one place, so that one sees what another client does, and where their objects may lie. */
export interface CheckedPlace {
  readonly one: Destination;
  readonly two: Destination;
  /** A folder that nobody else uses: ends in '/'. */
  readonly prefix: string;
  /** A key in it, remembered so that its object is removed again also where the place's list does not show it. */
  readonly keyOf: (name: string) => string;
  readonly signal: AbortSignal;
}

/** What the contract (`destination.ts`) promises, in the words of an operator. */
export interface ContractPromise {
  readonly name: string;
  readonly what: string;
  /** What follows for who uses the place where it is broken. */
  readonly consequence: string;
  /** A type of destination that does not promise it, and of which the configuration asks it nowhere. */
  readonly exceptOf?: DestinationConfig['type'];
  /** @throws Error that says what was seen instead. */
  readonly prove: (place: CheckedPlace) => Promise<void>;
}

/** More than goes in one request or one part, so that a put is under way for some time. */
const LARGE_BYTES = 24 * 1024 * 1024;
const WRITERS = 4;
const OBJECTS = 30;
const NO_BACKUPS = 'do not keep backups there';

/** In this order: what the first of them needs, the others need too. */
export const PROMISES: readonly ContractPromise[] = [
  {
    name: 'gives-back',
    what: 'gives back what it was given',
    consequence: NO_BACKUPS,
    async prove({ one, two, keyOf, signal }) {
      for (const size of [0, 1, 1_000_000]) {
        const bytes = randomBytes(size);
        await one.put(keyOf(`whole/${size}`), bytesBody(bytes), { signal });
        const back = await readAll(two, keyOf(`whole/${size}`), { signal });
        if (!back.equals(bytes)) throw new Error(`of ${size} bytes it gave back ${back.length}, and not the same`);
      }
    },
  },
  {
    name: 'shows-at-once',
    what: 'shows a new object to everybody at once',
    consequence: 'a backup may look missing for a while: let cofre sync run some time after the night',
    async prove({ one, two, prefix, keyOf, signal }) {
      await one.put(keyOf('new/object'), bytesBody(Buffer.from('new')), { signal });
      const { sizeBytes } = await two.stat(keyOf('new/object'), { signal });
      if (sizeBytes !== 3) throw new Error(`it says that 3 bytes are ${sizeBytes}`);
      const listed = await keysIn(two, `${prefix}new/`, signal);
      if (listed.join() !== 'object') throw new Error(`its list shows ${listed.join(', ') || 'nothing'}`);
    },
  },
  {
    name: 'never-replaces',
    what: 'never replaces what it keeps',
    consequence: NO_BACKUPS,
    async prove({ one, two, keyOf, signal }) {
      const key = keyOf('kept');
      await one.put(key, bytesBody(Buffer.from('first')), { signal });
      await refuses('already-exists', 'it took other bytes for the same key', () =>
        two.put(key, bytesBody(Buffer.from('other')), { signal }),
      );
      await one.put(key, bytesBody(Buffer.from('first')), { signal });
      const back = (await readAll(two, key, { signal })).toString();
      if (back !== 'first') throw new Error('the first object is gone');
    },
  },
  {
    name: 'one-writer',
    what: 'lets one of several writers win, and tells the others',
    consequence: 'two workers that publish at the same instant could both believe they did',
    async prove({ one, two, keyOf, signal }) {
      const key = keyOf('race');
      const bodies = Array.from({ length: WRITERS }, () => randomBytes(100_000));
      const puts = bodies.map((bytes, index) => (index % 2 === 0 ? one : two).put(key, bytesBody(bytes), { signal }));
      const outcomes = await Promise.allSettled(puts);
      const winners = bodies.filter((_, index) => outcomes[index]?.status === 'fulfilled');
      for (const outcome of outcomes) if (outcome.status === 'rejected') requireCode('already-exists', outcome.reason);
      if (winners.length !== 1) throw new Error(`${winners.length} of ${WRITERS} were told that they won`);
      const back = await readAll(one, key, { signal });
      if (winners[0]?.equals(back) !== true) throw new Error('it kept what another one wrote than who was told so');
    },
  },
  {
    name: 'whole-or-nothing',
    what: 'shows nothing of an object before all of it is there',
    consequence: 'half an object could be taken for a copy; it would be found when it is verified',
    async prove({ one, two, prefix, keyOf, signal }) {
      const body = halfWayBody(randomBytes(LARGE_BYTES));
      const key = keyOf('under-way/object');
      const put = one.put(key, body, { signal });
      // It may fail before it is half-way, and is awaited below.
      await Promise.race([body.halfWay, put.catch(() => undefined)]);
      try {
        await refuses('not-found', 'it shows half an object', () => two.stat(key, { signal }));
        const listed = await keysIn(two, `${prefix}under-way/`, signal);
        if (listed.length > 0) throw new Error(`its list shows ${listed.join(', ')} of it`);
      } finally {
        body.end();
        await put;
      }
      const { sizeBytes } = await two.stat(key, { signal });
      if (sizeBytes !== LARGE_BYTES) throw new Error(`of ${LARGE_BYTES} bytes it has ${sizeBytes}`);
    },
  },
  {
    name: 'leaves-nothing',
    what: 'leaves nothing to see of an upload that fails',
    consequence: 'half an object could be taken for a copy; it would be found when it is verified',
    async prove({ one, two, prefix, keyOf, signal }) {
      const body = halfWayBody(randomBytes(LARGE_BYTES));
      const failure = new Error('this upload is to fail');
      const put = one.put(keyOf('failed/object'), body, { signal });
      await Promise.race([body.halfWay, put.catch(() => undefined)]);
      body.end(failure);
      await put.then(
        () => {
          throw new Error('it took half an object for a whole one');
        },
        (error: unknown) => {
          if (error !== failure) throw error;
        },
      );
      const listed = await keysIn(two, `${prefix}failed/`, signal);
      if (listed.length > 0) throw new Error(`its list shows ${listed.join(', ')} of it`);
    },
  },
  {
    name: 'gives-parts',
    what: 'gives any part of an object',
    consequence: 'an interrupted restore or copy could not go on from its middle',
    async prove({ one, two, keyOf, signal }) {
      const bytes = randomBytes(3_000_000);
      await one.put(keyOf('parts'), bytesBody(bytes), { signal });
      for (const [start, length] of [
        [0, 1],
        [1_048_575, 2],
        [2_999_000, 1000],
      ] as const) {
        const part = await readAll(two, keyOf('parts'), { signal, range: { start, length } });
        if (!part.equals(bytes.subarray(start, start + length)))
          throw new Error(`asked for ${length} bytes from ${start} on it gave ${part.length}, and not those`);
      }
    },
  },
  {
    name: 'lists-all',
    what: 'lists every object once, and those below a folder alone',
    consequence: 'cofre sync cannot tell what is there',
    async prove({ one, two, prefix, keyOf, signal }) {
      const names = Array.from({ length: OBJECTS }, (_, index) => `${index % 3}/object-${index}`);
      await Promise.all(names.map((name) => one.put(keyOf(`many/${name}`), bytesBody(Buffer.from(name)), { signal })));
      await one.put(keyOf('many-more'), bytesBody(Buffer.from('beside')), { signal });
      const listed = await keysIn(two, `${prefix}many/`, signal);
      if (listed.join() !== names.sort().join())
        throw new Error(`of ${OBJECTS} objects its list shows ${listed.length}`);
    },
  },
  {
    name: 'removes',
    what: 'removes an object, and says nothing when it is gone already',
    consequence: 'room is not given back, and what failed runs have left stays',
    async prove({ one, two, prefix, keyOf, signal }) {
      await one.put(keyOf('removed/object'), bytesBody(Buffer.from('x')), { signal });
      await one.remove(keyOf('removed/object'), { signal });
      await two.remove(keyOf('removed/object'), { signal });
      await refuses('not-found', 'it still gives it', () => two.get(keyOf('removed/object'), { signal }));
      const listed = await keysIn(two, `${prefix}removed/`, signal);
      if (listed.length > 0) throw new Error(`its list still shows ${listed.join(', ')}`);
    },
  },
  {
    name: 'replaces-alias',
    what: 'replaces an alias in one step',
    consequence: 'name it in no `copies.alias`; backups are not concerned',
    exceptOf: 'rclone',
    async prove({ one, two, keyOf, signal }) {
      const key = keyOf(ALIAS_NAME);
      const [old, latest] = [randomBytes(100_000), randomBytes(LARGE_BYTES)];
      await one.replace(key, bytesBody(old), { signal });
      const body = halfWayBody(latest);
      const replacing = one.replace(key, body, { signal });
      await Promise.race([body.halfWay, replacing.catch(() => undefined)]);
      try {
        if (!(await readAll(two, key, { signal })).equals(old))
          throw new Error('the old one is gone before all of the new one is there');
      } finally {
        body.end();
        await replacing;
      }
      if (!(await readAll(two, key, { signal })).equals(latest)) throw new Error('it still gives the old one');
    },
  },
];

async function readAll(place: Destination, key: string, options: GetOptions): Promise<Buffer> {
  return await collect(await place.get(key, options));
}

async function collect(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

async function keysIn(place: Destination, prefix: string, signal: AbortSignal): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of place.list(prefix, { signal })) keys.push(key.slice(prefix.length));
  return keys.sort();
}

async function refuses(code: string, otherwise: string, call: () => Promise<unknown>): Promise<void> {
  try {
    await call();
  } catch (error) {
    requireCode(code, error);
    return;
  }
  throw new Error(otherwise);
}

function requireCode(code: string, error: unknown): void {
  if (error instanceof CofreError && error.code === code) return;
  throw new Error(`instead of ${code} it said: ${messageOf(error)}`, { cause: error });
}
