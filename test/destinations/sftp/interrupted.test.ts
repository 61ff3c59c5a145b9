import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { appendFile, open, readdir, rename, rm, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import type { Body } from '../../../destinations/destination.ts';
import { bytesBody, hashFile, localFileBody } from '../../../destinations/local-file.ts';
import { sftpPlace } from '../../../destinations/sftp/place.ts';
import { withDestination } from '../../../destinations/open.ts';
import { SftpDestination, type SftpLimits } from '../../../destinations/sftp/sftp.ts';
import { FaultProxy } from '../../fault-proxy.ts';
import { isLong } from '../../long.ts';
import { SshServer } from '../../ssh-server.ts';
import { until } from '../../until.ts';
import { keys, read } from '../contract.ts';

const MIB = 1024 * 1024;
const LARGE_BYTES = (isLong ? 1024 : 24) * MIB;
/** What may be on its way when a process or a connection ends: the requests in flight, and what the sockets hold. */
const PIECE_BYTES = 3 * MIB;
const LIMITS: SftpLimits = { keepaliveMs: 10_000, answerWithinMs: 60_000, watchMs: 200 };
const KEY = 'acme/backup/a1/database.tar';

let server: SshServer;
let proxy: FaultProxy;
let root: string;
let places = 0;
let source: string;
let large: Body;

before(async () => {
  server = await SshServer.start();
  source = join(server.folder, 'source');
  const file = await open(source, 'w');
  for (let done = 0; done < LARGE_BYTES; done += MIB) await file.write(randomBytes(MIB));
  await file.close();
  const { sizeBytes, sha256 } = await hashFile(source);
  large = localFileBody(source, sizeBytes, sha256);
});
after(() => server.remove());

beforeEach(async () => {
  root = await server.root(`place-${(places += 1)}`);
  await sftpPlace(server.config(root)).prepare();
  proxy = await FaultProxy.start({ host: '127.0.0.1', port: server.port });
});
afterEach(async () => {
  await proxy.stop();
  await rm(root, { recursive: true });
});

const offsite = (limits = LIMITS): SftpDestination =>
  new SftpDestination('offsite', server.config(root, proxy.port), limits);

describe('an interrupted upload over SFTP', () => {
  for (const percent of [10, 50, 99]) {
    test(`case 32: the network is cut at ${percent} %, and the next try goes on from there`, async () => {
      const destination = offsite();
      proxy.cutAfter((LARGE_BYTES * percent) / 100);
      await assert.rejects(destination.put(KEY, large), { code: 'destination-unavailable', retryable: true });
      assert.deepEqual(await keys(destination), []);
      await destination.put(KEY, large);
      await requireWhole(destination);
      assert.ok(proxy.sentBytes <= LARGE_BYTES * 1.05 + PIECE_BYTES, `${proxy.sentBytes} of ${LARGE_BYTES} bytes sent`);
      await destination.close();
    });
  }

  test('case 32: the worker is killed at 10, 50 and 99 %, and what it sent is not sent again', async () => {
    for (const percent of [10, 50, 99]) {
      const child = spawn(process.execPath, [putFile, JSON.stringify(server.config(root, proxy.port)), source, KEY]);
      await until(`${percent} % are sent`, () => proxy.sentBytes >= (LARGE_BYTES * percent) / 100);
      child.kill('SIGKILL');
      await once(child, 'exit');
      assert.deepEqual(await keys(offsite()), []);
    }
    const destination = offsite();
    await destination.put(KEY, large);
    await requireWhole(destination);
    const most = LARGE_BYTES * 1.05 + 3 * PIECE_BYTES;
    assert.ok(proxy.sentBytes <= most, `${proxy.sentBytes} of ${LARGE_BYTES} bytes sent`);
    await destination.close();
  });

  test('a server that resets the connection at its end does not make a put fail that has succeeded', async () => {
    for (const delayMs of [0, 1]) {
      const stored = await withDestination('offsite', server.config(root, proxy.port), async (place) => {
        const put = await place.put(`a/${delayMs}`, bytesBody(Buffer.from('x')));
        setTimeout(() => proxy.cut(), delayMs);
        return put;
      });
      assert.equal(stored.sizeBytes, 1);
    }
  });

  test('puts of the same bytes at the same time do not take each other’s temporaries, and all succeed', async () => {
    const destination = offsite();
    await Promise.all(Array.from({ length: 3 }, () => destination.put(KEY, large)));
    await requireWhole(destination);
    await destination.close();
  });

  test('what was left is read back before it counts: a damaged part is sent again, and what came after it', async () => {
    await interrupt();
    const [left = ''] = await temporaries();
    const file = await open(join(root, left), 'r+');
    await file.write(Buffer.from('damaged'), 0, 7, 5 * MIB);
    await file.close();
    const destination = offsite();
    const before = proxy.sentBytes;
    await destination.put(KEY, large);
    await requireWhole(destination);
    assert.ok(proxy.sentBytes - before >= LARGE_BYTES - 5 * MIB);
    await destination.close();
  });

  test('what was left is not taken for other bytes, nor if it has become too long', async () => {
    await interrupt();
    const other = bytesBody(randomBytes(2 * MIB));
    const destination = offsite();
    await destination.put('acme/backup/a1/other', other);
    const [left = ''] = await temporaries();
    await appendFile(join(root, left), Buffer.alloc(8));
    await truncate(join(root, left), LARGE_BYTES + 1);
    await destination.put(KEY, large);
    await requireWhole(destination);
    assert.equal((await read(destination, 'acme/backup/a1/other')).length, 2 * MIB);
    await destination.close();
  });

  test('what a process of another machine writes to is left to it; what stands still is taken over', async () => {
    await interrupt();
    const [left = ''] = await temporaries();
    const foreign = left.replace(/-[0-9a-f]{12}-[0-9]+-[0-9]+-/, '-0123456789ab-7-77-');
    await rename(join(root, left), join(root, foreign));
    const { size } = await stat(join(root, foreign));
    const writing = setInterval(() => void appendFile(join(root, foreign), Buffer.alloc(1)), 20);
    const destination = offsite();
    try {
      await destination.put(KEY, large);
    } finally {
      clearInterval(writing);
    }
    assert.deepEqual(await temporaries(), [foreign]);
    await requireWhole(destination, [foreign]);
    await destination.remove(KEY);
    await truncate(join(root, foreign), size);
    const before = proxy.sentBytes;
    await destination.put(KEY, large);
    assert.ok(proxy.sentBytes - before < LARGE_BYTES);
    await requireWhole(destination);
    await destination.close();
  });

  test('case 45: what a killed worker has left goes with its attempt, or after a day', async () => {
    await interrupt();
    const [left = ''] = await temporaries();
    const destination = offsite();
    await destination.put('acme/backup/a1/other', bytesBody(Buffer.from('x')));
    assert.deepEqual(await temporaries(), [left]);
    const file = await open(join(root, left));
    await file.utimes(1, 1);
    await file.close();
    await destination.put('acme/backup/a1/another', bytesBody(Buffer.from('x')));
    assert.deepEqual(await temporaries(), []);
    await interrupt();
    await destination.discard('acme/backup/a1/');
    assert.deepEqual(await readdir(root), ['cofre.json']);
    await destination.close();
  });

  test('a removal that was cut between two folders is ended by the next one', async () => {
    const destination = offsite();
    for (const again of [() => destination.discard('acme/one/a1/'), () => destination.remove('acme/one/a1/data')]) {
      await destination.put('acme/one/a1/data', bytesBody(Buffer.from('x')));
      await rm(join(root, 'acme/one/a1'), { recursive: true });
      await again();
      assert.deepEqual(await readdir(root), ['cofre.json']);
    }
    await destination.close();
  });

  test('a connection that nobody answers any more is given up, and the next call makes another', async () => {
    const destination = offsite({ ...LIMITS, keepaliveMs: 700 });
    proxy.stallAfter(LARGE_BYTES / 2);
    await assert.rejects(destination.put(KEY, large), { code: 'destination-unavailable', message: /lost|Keepalive/ });
    proxy.restore();
    await destination.put(KEY, large);
    await requireWhole(destination);
    await destination.close();
  });

  test('a server that lives and whose disk answers nothing is given up as well', async () => {
    const destination = offsite({ ...LIMITS, keepaliveMs: 60_000, answerWithinMs: 1_500 });
    await destination.put('first', bytesBody(Buffer.from('x')));
    proxy.muteAfter(0);
    await assert.rejects(destination.stat('first'), { code: 'destination-unavailable', message: /answers nothing/ });
    proxy.restore();
    assert.equal((await destination.stat('first')).sizeBytes, 1);
    await destination.close();
  });

  test('a reader whose connection is cut is told so, and gets no short object', async () => {
    const destination = offsite();
    await destination.put(KEY, large);
    proxy.cutAfter(LARGE_BYTES / 2);
    await assert.rejects(read(destination, KEY), { code: 'destination-unavailable' });
    assert.equal((await read(destination, KEY)).length, LARGE_BYTES);
    await destination.close();
  });
});

async function interrupt(): Promise<void> {
  const destination = offsite();
  proxy.cutAfter(LARGE_BYTES / 2);
  await assert.rejects(destination.put(KEY, large), { code: 'destination-unavailable' });
  await destination.close();
  assert.equal((await temporaries()).length, 1);
}

/** The object is there once, whole, and nothing else is. */
async function requireWhole(destination: SftpDestination, left: readonly string[] = []): Promise<void> {
  const { sha256 } = await hashFile(join(root, KEY));
  assert.equal(sha256, large.sha256);
  assert.equal((await destination.stat(KEY)).sizeBytes, LARGE_BYTES);
  assert.deepEqual(await temporaries(), left);
}

async function temporaries(): Promise<string[]> {
  return (await readdir(root, { recursive: true })).filter((name) => /(^|\/)\.(put|claim)-/.test(name));
}

const putFile = fileURLToPath(new URL('./put-file.js', import.meta.url));
