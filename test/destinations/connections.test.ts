import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { bodyOf } from '../../activities/source-body.ts';
import type { DestinationConfig } from '../../config/destination-schema.ts';
import { gcsPlace } from '../../destinations/gcs/place.ts';
import { bytesBody } from '../../destinations/local-file.ts';
import { openDestination, withoutLimits } from '../../destinations/open.ts';
import { sftpPlace } from '../../destinations/sftp/place.ts';
import { GcsServer } from '../gcs-server.ts';
import { markedFolder, RcloneRemotes } from '../rclone.ts';
import { SshServer } from '../ssh-server.ts';
import { read } from './contract.ts';
import { gatedBody } from './gated-body.ts';

const ONE = { connections: 1 };
/** Smaller ones are not counted. */
const LARGE_BYTES = 3_000_000;

describe('a number of connections', () => {
  let google: GcsServer;
  let server: SshServer;
  let remotes: RcloneRemotes;
  let folder: string;
  let places: Record<string, DestinationConfig>;
  before(async () => {
    google = await GcsServer.start();
    server = await SshServer.start();
    remotes = await RcloneRemotes.make({ disk: { type: 'local' } });
    folder = await markedFolder();
    const gcs = await google.bucket(ONE);
    await gcsPlace(gcs).prepare();
    const sftp = await offsite('one');
    places = { gcs, sftp, rclone: { ...remotes.config(`disk:${folder}`), ...ONE } };
  });
  after(async () => {
    await google.stop();
    await server.remove();
    await remotes.remove();
    await rm(folder, { recursive: true });
  });

  async function offsite(name: string): Promise<DestinationConfig> {
    const config = server.config(await server.root(name));
    await sftpPlace(config).prepare();
    return { ...config, ...ONE };
  }

  test('lets so many objects go there at once, through whatever handle, and then the next', async () => {
    for (const [name, config] of Object.entries(places)) {
      const [one, two] = [openDestination(name, config), openDestination(name, config)];
      const first = gatedBody(randomBytes(LARGE_BYTES));
      const second = { ...bytesBody(randomBytes(LARGE_BYTES)), opened: false };
      const open = second.open;
      second.open = (offset?: number) => {
        second.opened = true;
        return open(offset);
      };
      const puts = [one.put('a/first', first)];
      await first.halfWay;
      let waits = 0;
      puts.push(two.put('a/second', second, { onWait: () => (waits += 1) }));
      await sleep(300);
      assert.deepEqual([second.opened, waits], [false, 1], name);
      await two.put('a/manifest.json', bytesBody(Buffer.from('a manifest does not wait')));
      assert.equal((await read(two, 'a/manifest.json')).length, 24);
      first.goOn();
      await Promise.all(puts);
      assert.equal(second.opened, true, name);
      await one.close();
      await two.close();
    }
  });

  test('lets so many be read at once, and a restore does not wait', async () => {
    for (const [name, config] of Object.entries(places)) {
      const [one, two] = [openDestination(name, config), openDestination(name, config)];
      const restore = openDestination(name, withoutLimits(config));
      await one.put('b/object', bytesBody(randomBytes(LARGE_BYTES)));
      const stream = await one.get('b/object');
      const waiting = { is: true };
      const next = two.get('b/object').then((found) => {
        waiting.is = false;
        return found;
      });
      assert.equal((await read(restore, 'b/object')).length, LARGE_BYTES, name);
      assert.equal(waiting.is, true, name);
      stream.destroy();
      (await next).destroy();
      for (const place of [one, two, restore]) await place.close();
    }
  });

  test('a missing object, a failed put and one that is cancelled while it waits give their slots back', async () => {
    for (const [name, config] of Object.entries(places)) {
      const place = openDestination(name, config);
      await assert.rejects(place.get('c/nothing'), { code: 'not-found' });
      const wrong = { ...bytesBody(randomBytes(LARGE_BYTES)), sha256: '0'.repeat(64) };
      await assert.rejects(place.put('c/wrong', wrong), { code: 'bad-content' });
      const gated = gatedBody(randomBytes(LARGE_BYTES));
      const holding = place.put('c/gated', gated);
      await gated.halfWay;
      const stop = new AbortController();
      const reason = new Error('cancelled while it waited');
      const cancelled = place.put('c/cancelled', bytesBody(randomBytes(LARGE_BYTES)), { signal: stop.signal });
      stop.abort(reason);
      await assert.rejects(cancelled, (error) => error === reason);
      gated.goOn();
      await holding;
      await place.put('c/next', bytesBody(randomBytes(LARGE_BYTES)));
      assert.equal((await read(place, 'c/next')).length, LARGE_BYTES, name);
      await assert.rejects(place.stat('c/cancelled'), { code: 'not-found' });
      await place.close();
    }
  });

  test('copies there and back at the same time do not wait for each other', async () => {
    const [left, right] = [
      openDestination('left', await offsite('left')),
      openDestination('right', await offsite('right')),
    ];
    const bodies = { left: bytesBody(randomBytes(LARGE_BYTES)), right: bytesBody(randomBytes(LARGE_BYTES)) };
    await left.put('left', bodies.left);
    await right.put('right', bodies.right);
    const { signal } = new AbortController();
    await Promise.all([
      right.put('left', bodyOf(left, { key: 'left', ...bodies.left }, signal)),
      left.put('right', bodyOf(right, { key: 'right', ...bodies.right }, signal)),
    ]);
    assert.equal((await left.stat('right')).sizeBytes, LARGE_BYTES);
    assert.equal((await right.stat('left')).sizeBytes, LARGE_BYTES);
    await left.close();
    await right.close();
  });
});
