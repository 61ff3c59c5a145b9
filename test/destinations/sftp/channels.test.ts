import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';

import { bytesBody } from '../../../destinations/local-file.ts';
import { sftpPlace } from '../../../destinations/sftp/place.ts';
import { SftpDestination } from '../../../destinations/sftp/sftp.ts';
import { FaultProxy } from '../../fault-proxy.ts';
import { SshServer, type SshServerOptions } from '../../ssh-server.ts';
import { read } from '../contract.ts';

const LARGE = randomBytes(20 * 1024 * 1024 + 1);
const SMALL = randomBytes(1024);

/** Puts and reads a large and a small object; gives how many connections were made for it, and channels opened in them. */
async function channelsOf(options: SshServerOptions): Promise<{ connections: number; channels: number }> {
  const server = await SshServer.start(options);
  const proxy = await FaultProxy.start({ host: '127.0.0.1', port: server.port });
  try {
    const config = server.config(await server.root('place'), proxy.port);
    await sftpPlace(config).prepare();
    const before = await server.log();
    const offsite = new SftpDestination('offsite', config);
    await offsite.put('a/small', bytesBody(SMALL));
    await offsite.put('a/large', bytesBody(LARGE));
    proxy.delay(10);
    assert.deepEqual(await read(offsite, 'a/small'), SMALL);
    assert.deepEqual(await read(offsite, 'a/large'), LARGE);
    const range = { start: 3, length: 18 * 1024 * 1024 };
    assert.deepEqual(await read(offsite, 'a/large', range), LARGE.subarray(3, 3 + range.length));
    await offsite.close();
    const log = (await server.log()).slice(before.length);
    return {
      connections: count(log, /Accepted publickey/g),
      channels: count(log, /Starting session: subsystem 'sftp'/g),
    };
  } finally {
    await proxy.stop();
    await server.remove();
  }
}

function count(text: string, what: RegExp): number {
  return [...text.matchAll(what)].length;
}

describe('a large object of an SFTP server far away', () => {
  test('is read on two channels of one connection, because one leaves the way idle', async () => {
    assert.deepEqual(await channelsOf({}), { connections: 1, channels: 2 });
  });

  test('is read on one channel where the server gives no other', async () => {
    assert.deepEqual(await channelsOf({ secondChannel: 'refused' }), { connections: 1, channels: 1 });
  });

  test('is read on one channel of another connection where the server ends the first for the question', async () => {
    assert.deepEqual(await channelsOf({ secondChannel: 'fatal' }), { connections: 2, channels: 3 });
  });
});
