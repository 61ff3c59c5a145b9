import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, readdir, rename, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { Readable } from 'node:stream';

import { bytesBody } from '../../../destinations/local-file.ts';
import { sftpPlace } from '../../../destinations/sftp/place.ts';
import { SftpDestination } from '../../../destinations/sftp/sftp.ts';
import { openDestination } from '../../../destinations/open.ts';
import { FaultProxy } from '../../fault-proxy.ts';
import { SmallDisk } from '../../small-disk.ts';
import { SshServer } from '../../ssh-server.ts';
import { until } from '../../until.ts';
import { keys, read } from '../contract.ts';

let server: SshServer;
let root: string;
let offsite: SftpDestination;
let places = 0;
before(async () => {
  server = await SshServer.start();
});
after(() => server.remove());
beforeEach(async () => {
  root = await server.root(`place-${(places += 1)}`);
  await sftpPlace(server.config(root)).prepare();
  offsite = new SftpDestination('offsite', server.config(root));
});
afterEach(async () => {
  await offsite.close();
  await rm(root, { recursive: true, force: true });
});

describe('a folder on an SFTP server', () => {
  test('is no destination without its marker, whatever is asked of it, and nothing is written', async () => {
    await offsite.put('a/b', bytesBody(Buffer.from('x')));
    await rename(join(root, 'cofre.json'), join(root, '.away'));
    for (const place of [offsite, new SftpDestination('offsite', server.config(root))]) {
      const refusal = { code: 'not-mounted', message: /not mounted/ };
      await assert.rejects(place.put('a/c', bytesBody(Buffer.from('x'))), refusal);
      await assert.rejects(place.get('a/b'), refusal);
      await assert.rejects(place.stat('a/b'), refusal);
      await assert.rejects(place.remove('a/b'), refusal);
      await assert.rejects(place.discard('a/'), refusal);
      await assert.rejects(keys(place), refusal);
      await place.close();
    }
    assert.deepEqual(await readdir(join(root, 'a')), ['b']);
    await writeFile(join(root, 'cofre.json'), '{"format":2,"id":"x"}');
    await assert.rejects(offsite.identity(), { code: 'not-mounted', message: /knows/ });
  });

  test('is prepared once, when it is empty or somebody insists', async () => {
    const marker = await readFile(join(root, 'cofre.json'), 'utf8');
    assert.equal(await sftpPlace(server.config(root)).prepare(), false);
    assert.equal(await readFile(join(root, 'cofre.json'), 'utf8'), marker);
    assert.deepEqual(await sftpPlace(server.config(root)).identities(), [await offsite.identity()]);

    const used = sftpPlace(server.config(join(root, 'used')));
    assert.equal(await used.state(), 'missing');
    await assert.rejects(used.prepare(), { code: 'not-mounted' });
    await mkdir(join(root, 'used', 'lost+found'), { recursive: true });
    assert.equal(await used.state(), 'empty');
    await writeFile(join(root, 'used', 'somebody.doc'), 'x');
    assert.equal(await used.state(), 'not-empty');
    await assert.rejects(used.prepare(), { code: 'refused', hint: /destination prepare/ });
    assert.equal(await used.prepare({ evenIfNotEmpty: true }), true);

    await mkdir(join(root, 'both'));
    const both = sftpPlace(server.config(join(root, 'both')));
    const made = await Promise.all([both.prepare(), both.prepare(), both.prepare()]);
    assert.equal(made.filter(Boolean).length, 1);
    assert.deepEqual(await readdir(join(root, 'both')), ['cofre.json']);
  });

  test('shows objects to their owner and group, and to nobody else', async () => {
    await offsite.put('acme/backup/data', bytesBody(Buffer.from('x')));
    assert.equal((await stat(join(root, 'acme/backup/data'))).mode & 0o777, 0o640);
    assert.equal((await stat(join(root, 'acme/backup'))).mode & 0o777, 0o750);
  });

  test('follows no symbolic link, neither out of it nor inside', async () => {
    const outside = await mkdtemp(join(tmpdir(), 'cofre-outside-'));
    try {
      await writeFile(join(outside, 'secret'), 'x');
      await symlink(outside, join(root, 'link'));
      await mkdir(join(root, 'folder'));
      await symlink(join(outside, 'secret'), join(root, 'folder', 'object'));
      const refusal = { code: 'access-denied' };
      await assert.rejects(offsite.put('link/new', bytesBody(Buffer.from('x'))), refusal);
      await assert.rejects(offsite.put('link/deep/new', bytesBody(Buffer.from('x'))), refusal);
      await assert.rejects(offsite.get('link/secret'), refusal);
      await assert.rejects(offsite.stat('link/secret'), refusal);
      await assert.rejects(offsite.remove('link/secret'), refusal);
      await assert.rejects(offsite.discard('link/'), refusal);
      await assert.rejects(offsite.get('folder/object'), refusal);
      await assert.rejects(offsite.put('folder/object', bytesBody(Buffer.from('x'))), refusal);
      await assert.rejects(keys(offsite), refusal);
      await offsite.discard('folder/');
      assert.deepEqual(await readdir(outside), ['secret']);
      assert.equal(await readFile(join(outside, 'secret'), 'utf8'), 'x');
    } finally {
      await rm(outside, { recursive: true });
    }
  });

  test('what is neither object nor folder is no object', async () => {
    execFileSync('mkfifo', [join(root, 'pipe')]);
    await assert.rejects(offsite.get('pipe'), { code: 'not-found' });
    assert.deepEqual(await keys(offsite), []);
    await offsite.put('object', bytesBody(Buffer.from('x')));
    await assert.rejects(offsite.put('object/below', bytesBody(Buffer.from('x'))), { code: 'invalid-key' });
  });

  test('lists more objects than one answer of the server holds', async () => {
    await mkdir(join(root, 'acme'));
    const names = Array.from({ length: 450 }, (_, index) => `acme/object-${index}`);
    for (const name of names) await writeFile(join(root, name), name);
    assert.deepEqual(await keys(offsite, 'acme/'), names.sort());
  });

  test('removing the last object of a backup removes its folders, and no more', async () => {
    await offsite.put('acme/one/a1/data', bytesBody(Buffer.from('x')));
    await offsite.put('acme/two/a1/data', bytesBody(Buffer.from('x')));
    await offsite.remove('acme/one/a1/data');
    assert.deepEqual(await readdir(join(root, 'acme')), ['two']);
    await offsite.remove('acme/two/a1/data');
    assert.deepEqual(await readdir(root), ['cofre.json']);
  });

  test('is opened by its configuration', async () => {
    const place = openDestination('offsite', server.config(root));
    await place.put('a', bytesBody(Buffer.from('x')));
    assert.deepEqual(await keys(place), ['a']);
    assert.match(place.url, /^sftp:\/\/[a-z0-9]+@127\.0\.0\.1:[0-9]+\/.*place-/);
    await place.close();
  });

  for (const [how, without] of [
    ['a link', ['fsync']],
    ['a rename', ['fsync', 'hardlink']],
  ] as const) {
    test(`case 33: the answer to ${how} is lost after it was done, and the next try is content`, async () => {
      const other = await SshServer.start({ without });
      const proxy = await FaultProxy.start({ host: '127.0.0.1', port: other.port });
      const place = new SftpDestination('offsite', other.config(root, proxy.port));
      try {
        const body = bytesBody(randomBytes(2_000_000));
        // With the last byte stored: closing it, and then the link; before a rename three questions and the claim.
        const mute = (bytes: number): void => {
          if (bytes === body.sizeBytes) proxy.muteAfter(how === 'a link' ? 1 : 5);
        };
        const put = assert.rejects(place.put('acme/data', body, { onProgress: mute }), {
          code: 'destination-unavailable',
        });
        await until('it has its name', () => existsSync(join(root, 'acme/data')));
        proxy.cut();
        await put;
        proxy.restore();
        await place.put('acme/data', body);
        assert.ok((await read(place, 'acme/data')).length === body.sizeBytes);
        assert.deepEqual(
          (await readdir(join(root, 'acme'))).filter((name) => name.startsWith('.put-')),
          [],
        );
      } finally {
        await place.close();
        await proxy.stop();
        await other.remove();
      }
    });
  }

  test('the order of a put survives a power cut of the server: data, name, and the name once more', async () => {
    const trace = join(server.folder, 'trace');
    const other = await SshServer.start({ trace });
    const place = new SftpDestination('offsite', other.config(root));
    try {
      await place.put('acme/data', bytesBody(randomBytes(100_000)));
    } finally {
      await place.close();
      await other.remove();
    }
    const calls = (await readFile(trace, 'utf8')).split('\n').filter((line) => line.includes(`${root}/acme`));
    const kinds = calls.map((line) => {
      const call = /(fsync|unlink|link)(at)?\(/.exec(line)?.[1];
      return call === 'fsync' && line.includes('/.put-') ? 'fsync data' : call;
    });
    assert.deepEqual(kinds, ['fsync data', 'link', 'unlink', 'fsync']);
  });

  test('case 34: a body that fails in its middle leaves no object, and a large one is gone on with', async () => {
    const failure = new Error('the pipe broke');
    const bytes = randomBytes(8_000_000);
    function* half(): Generator<Buffer> {
      yield bytes.subarray(0, 4_000_000);
      throw failure;
    }
    const open = (): Readable => Readable.from(half());
    for (const sizeBytes of [bytes.length, 500_000]) {
      const body = { ...bytesBody(bytes.subarray(0, sizeBytes)), open };
      const tooMuch = { code: 'bad-content' };
      await assert.rejects(offsite.put(`acme/${sizeBytes}`, body), sizeBytes < 4_000_000 ? tooMuch : failure);
    }
    assert.deepEqual(await keys(offsite), []);
    assert.equal((await readdir(join(root, 'acme'))).length, 1);
    await offsite.put(`acme/${bytes.length}`, bytesBody(bytes));
    assert.deepEqual(await readdir(join(root, 'acme')), [`${bytes.length}`]);
  });

  test('case 35: a server that has fewer bytes than it took is found out, and sent the rest the next time', async () => {
    const bytes = randomBytes(3_000_000);
    const folder = join(root, 'acme');
    async function* andThenLost(): AsyncGenerator<Buffer> {
      yield bytes;
      const [name = ''] = await readdir(folder);
      await until('all is there', async () => (await stat(join(folder, name))).size === bytes.length);
      await truncate(join(folder, name), 1_000_000);
    }
    const open = (): Readable => Readable.from(andThenLost(), { objectMode: false });
    await assert.rejects(offsite.put('acme/data', { ...bytesBody(bytes), open }), {
      code: 'destination-unavailable',
      message: /took 3000000 bytes and has 1000000/,
    });
    assert.deepEqual(await keys(offsite), []);
    await offsite.put('acme/data', bytesBody(bytes));
    assert.ok(bytes.equals(await read(offsite, 'acme/data')));
    assert.equal((await readdir(folder)).length, 1);
  });

  test('case 38: what stands under a key is never replaced, also where the server would', async () => {
    const other = await SshServer.start({ without: ['hardlink'] });
    const place = new SftpDestination('offsite', other.config(root));
    try {
      await offsite.put('acme/manifest.json', bytesBody(Buffer.from('first')));
      for (const one of [offsite, place]) {
        const refusal = { code: 'already-exists', hint: /never replaced/ };
        await assert.rejects(one.put('acme/manifest.json', bytesBody(Buffer.from('other'))), refusal);
      }
      assert.equal((await read(place, 'acme/manifest.json')).toString(), 'first');
      assert.deepEqual(await readdir(join(root, 'acme')), ['manifest.json']);
    } finally {
      await place.close();
      await other.remove();
    }
  });

  test('case 102: an account that may not remove can neither delete nor replace, and is told so', async () => {
    const other = await SshServer.start({ without: ['remove', 'rmdir', 'posix-rename', 'setstat', 'fsetstat'] });
    const place = new SftpDestination('offsite', other.config(root));
    try {
      await offsite.put('acme/data', bytesBody(Buffer.from('x')));
      await assert.rejects(place.remove('acme/data'), { code: 'access-denied' });
      await assert.rejects(place.discard('acme/'), { code: 'access-denied' });
      await assert.rejects(place.put('acme/data', bytesBody(Buffer.from('y'))), { code: 'already-exists' });
      assert.equal((await read(place, 'acme/data')).toString(), 'x');
    } finally {
      await place.close();
      await other.remove();
    }
  });
});

describe('a folder on an SFTP server with a small disk', () => {
  let disk: SmallDisk;
  let small: SftpDestination;
  beforeEach(async () => {
    disk = await SmallDisk.mount('4m');
    await sftpPlace(server.config(disk.path)).prepare();
    small = new SftpDestination('small', server.config(disk.path));
  });
  afterEach(async () => {
    await small.close();
    await disk.unmount();
  });

  test('case 37: says before anything is sent that there is no room', async () => {
    await assert.rejects(small.put('a/large', bytesBody(randomBytes(6_000_000))), {
      code: 'no-space',
      retryable: false,
      message: /6000000/,
      hint: /make room/,
    });
    assert.deepEqual(await readdir(disk.path), ['cofre.json']);
    await small.put('a/large', bytesBody(randomBytes(1_000_000)));
  });

  test('case 37: says that the disk became full on the way, and removes what it sent', async () => {
    const bytes = randomBytes(3_000_000);
    async function* halves(): AsyncGenerator<Buffer> {
      yield bytes.subarray(0, 1_500_000);
      await writeFile(join(disk.path, 'of somebody else'), randomBytes(2_500_000));
      yield bytes.subarray(1_500_000);
    }
    const open = (): Readable => Readable.from(halves(), { objectMode: false });
    await assert.rejects(small.put('a/large', { ...bytesBody(bytes), open }), { code: 'no-space', retryable: false });
    assert.deepEqual((await readdir(disk.path)).sort(), ['cofre.json', 'of somebody else']);
  });

  test('case 37: a server that cannot tell its room is not known to be full, but the hint says where to look', async () => {
    const mute = await SshServer.start({ without: ['statvfs', 'fstatvfs'] });
    const place = new SftpDestination('small', mute.config(disk.path));
    try {
      await assert.rejects(place.put('a/large', bytesBody(randomBytes(6_000_000))), {
        code: 'destination-unavailable',
        hint: /disk .* full/,
      });
    } finally {
      await place.close();
      await mute.remove();
    }
  });

  test('says when it may not write', async () => {
    execFileSync('mount', ['-o', 'remount,ro', disk.path]);
    const refusal = { code: 'access-denied', message: /read-only/ };
    await assert.rejects(small.put('a/b', bytesBody(Buffer.from('x'))), refusal);
    execFileSync('mount', ['-o', 'remount,rw', disk.path]);
    await small.put('a/b', bytesBody(Buffer.from('x')));
  });
});
