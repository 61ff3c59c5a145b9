import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, link, mkdir, mkdtemp, readFile, readdir, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { Readable } from 'node:stream';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import type { DirectoryConfig } from '../../../config/destination-schema.ts';
import { prepareDirectory } from '../../../destinations/directory/marker.ts';
import { temporaryName } from '../../../destinations/temporary-file.ts';
import type { Body } from '../../../destinations/destination.ts';
import { DirectoryDestination } from '../../../destinations/directory/directory.ts';
import { bytesBody, hashFile, localFileBody } from '../../../destinations/local-file.ts';
import { openDestination, withDestination } from '../../../destinations/open.ts';
import { SmallDisk } from '../../small-disk.ts';
import { describeDestination, keys, read, type PreparedPlace } from '../contract.ts';
import { describeReplacing } from '../replacing.ts';

describeDestination('a directory', prepareFolder);
describeReplacing('a directory', prepareFolder);

async function prepareFolder(): Promise<PreparedPlace & { config: DirectoryConfig }> {
  const root = await mkdtemp(join(tmpdir(), 'cofre-directory-'));
  await prepareDirectory(root);
  const disks: SmallDisk[] = [];
  return {
    config: { type: 'directory', path: root, shared: true },
    open: () => new DirectoryDestination('volume', root),
    denied: async () => {
      const disk = await SmallDisk.mount('1m');
      disks.push(disk);
      await prepareDirectory(disk.path);
      execFileSync('mount', ['-o', 'remount,ro', disk.path]);
      return new DirectoryDestination('volume', disk.path);
    },
    full: async () => {
      const disk = await SmallDisk.mount('2m');
      disks.push(disk);
      await prepareDirectory(disk.path);
      return new DirectoryDestination('full', disk.path);
    },
    cleanUp: async () => {
      for (const disk of disks) await disk.unmount();
      // The contract sees no temporaries; here they show.
      assert.deepEqual(await temporaries(root), []);
      await rm(root, { recursive: true });
    },
  };
}

describe('a directory', () => {
  let root: string;
  let volume: DirectoryDestination;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'cofre-directory-'));
    await prepareDirectory(root);
    volume = new DirectoryDestination('volume', root);
  });
  afterEach(() => rm(root, { recursive: true, force: true }));

  test('is not mounted without its marker, whatever is asked of it, and nothing is written', async () => {
    await volume.put('a/b', bytesBody(Buffer.from('x')));
    await rm(join(root, 'cofre.json'));
    const refusal = { code: 'not-mounted', message: /not mounted/ };
    await assert.rejects(volume.put('a/c', bytesBody(Buffer.from('x'))), refusal);
    await assert.rejects(volume.get('a/b'), refusal);
    await assert.rejects(volume.stat('a/b'), refusal);
    await assert.rejects(volume.remove('a/b'), refusal);
    await assert.rejects(keys(volume), refusal);
    assert.deepEqual(await readdir(join(root, 'a')), ['b']);
    await assert.rejects(new DirectoryDestination('gone', join(root, 'gone')).stat('a/b'), { code: 'not-mounted' });
    await assert.rejects(stat(join(root, 'gone')), { code: 'ENOENT' });
    await writeFile(join(root, 'cofre.json'), '{"format":2,"id":"x"}');
    await assert.rejects(volume.stat('a/b'), { code: 'not-mounted', message: /knows/ });
  });

  test('is prepared once, when it is empty or somebody insists', async () => {
    const marker = await readFile(join(root, 'cofre.json'), 'utf8');
    assert.equal((JSON.parse(marker) as { format: number }).format, 1);
    assert.equal(await prepareDirectory(root), false);
    assert.equal(await readFile(join(root, 'cofre.json'), 'utf8'), marker);

    const used = join(root, 'used');
    await assert.rejects(prepareDirectory(used), { code: 'not-mounted' });
    await mkdir(join(used, 'lost+found'), { recursive: true });
    await writeFile(join(used, 'somebody.doc'), 'x');
    await assert.rejects(prepareDirectory(used), {
      code: 'refused',
      message: /somebody\.doc/,
      hint: /destination prepare/,
    });
    assert.equal(await prepareDirectory(used, { evenIfNotEmpty: true }), true);

    const both = join(root, 'both');
    await mkdir(join(both, 'lost+found'), { recursive: true });
    const made = await Promise.all([prepareDirectory(both), prepareDirectory(both), prepareDirectory(both)]);
    assert.equal(made.filter(Boolean).length, 1);
    assert.deepEqual((await readdir(both)).sort(), ['cofre.json', 'lost+found']);
  });

  test('shows objects to their owner and group, and to nobody else', async () => {
    const umask = process.umask(0);
    try {
      await volume.put('acme/backup/data', bytesBody(Buffer.from('x')));
    } finally {
      process.umask(umask);
    }
    assert.equal((await stat(join(root, 'acme/backup/data'))).mode & 0o777, 0o640);
    assert.equal((await stat(join(root, 'acme/backup'))).mode & 0o777, 0o750);
    assert.equal((await stat(join(root, 'acme'))).mode & 0o777, 0o750);
  });

  test('stores and hashes a local file', async () => {
    const path = join(root, '.local');
    const bytes = randomBytes(2_500_000);
    await writeFile(path, bytes);
    const progress: number[] = [];
    const { sizeBytes, sha256 } = await hashFile(path, { onProgress: (done) => progress.push(done) });
    assert.deepEqual({ sizeBytes, sha256 }, { sizeBytes: bytes.length, sha256: bytesBody(bytes).sha256 });
    assert.equal(progress.at(-1), bytes.length);
    await assert.rejects(hashFile(path, { signal: AbortSignal.abort(new Error('no')) }), { message: 'no' });
    const body = localFileBody(path, sizeBytes, sha256);
    await volume.put('a/file', body);
    assert.ok(bytes.equals(await read(volume, 'a/file')));
    const tail: Buffer[] = [];
    for await (const chunk of body.open(2_000_000) as AsyncIterable<Buffer>) tail.push(chunk);
    assert.ok(Buffer.concat(tail).equals(bytes.subarray(2_000_000)));
    await rm(path);
    await assert.rejects(volume.put('a/other', body), { code: 'ENOENT' });
  });

  test('is opened by its configuration', async () => {
    const config = { type: 'directory', path: root, shared: true } as const;
    await withDestination('volume', config, (place) => place.put('a', bytesBody(Buffer.from('x'))));
    assert.deepEqual(await keys(openDestination('volume', config)), ['a']);
  });

  test('follows no symbolic link, neither out of it nor inside', async () => {
    const outside = await mkdtemp(join(tmpdir(), 'cofre-outside-'));
    try {
      await writeFile(join(outside, 'secret'), 'x');
      await symlink(outside, join(root, 'link'));
      await mkdir(join(root, 'folder'));
      await symlink(join(outside, 'secret'), join(root, 'folder', 'object'));
      const refusal = { code: 'access-denied' };
      await assert.rejects(volume.put('link/new', bytesBody(Buffer.from('x'))), refusal);
      await assert.rejects(volume.put('link/deep/new', bytesBody(Buffer.from('x'))), refusal);
      await assert.rejects(volume.get('link/secret'), refusal);
      await assert.rejects(volume.stat('link/secret'), refusal);
      await assert.rejects(volume.remove('link/secret'), refusal);
      await assert.rejects(volume.get('folder/object'), refusal);
      await assert.rejects(volume.put('folder/object', bytesBody(Buffer.from('y'))), refusal);
      await assert.rejects(keys(volume), refusal);
      await assert.rejects(keys(volume, 'link/'), refusal);
      assert.deepEqual(await readdir(outside), ['secret']);
      assert.equal(await readFile(join(outside, 'secret'), 'utf8'), 'x');
    } finally {
      await rm(outside, { recursive: true });
    }
  });

  test('what is neither object nor folder is no object', async () => {
    execFileSync('mkfifo', [join(root, 'pipe')]);
    await assert.rejects(volume.get('pipe'), { code: 'not-found' });
    await assert.rejects(volume.stat('pipe'), { code: 'not-found' });
    await assert.rejects(volume.put('pipe', bytesBody(Buffer.from('x'))), { code: 'already-exists' });
    assert.deepEqual(await keys(volume), []);
    await volume.put('object', bytesBody(Buffer.from('x')));
    await assert.rejects(volume.put('object/below', bytesBody(Buffer.from('x'))), { code: 'invalid-key' });
    await rm(join(root, 'cofre.json'));
    execFileSync('mkfifo', [join(root, 'cofre.json')]);
    await assert.rejects(volume.stat('object'), /cofre\.json in .* cannot be read/);
  });

  test('removing the last object of a backup removes its folders, and no more', async () => {
    await volume.put('acme/one/a1/data', bytesBody(Buffer.from('x')));
    await volume.put('acme/two/a1/data', bytesBody(Buffer.from('x')));
    await volume.remove('acme/one/a1/data');
    assert.deepEqual(await readdir(join(root, 'acme')), ['two']);
    await volume.remove('acme/two/a1/data');
    assert.deepEqual(await readdir(root), ['cofre.json']);
  });

  test('a put that fails takes the folders with it that it had made', async () => {
    const failure = new Error('the source fails');
    const body = { ...bytesBody(Buffer.from('half of it')), open: () => Readable.from(failing(failure)) };
    await assert.rejects(volume.put('acme/one/attempt/data', body), (error) => error === failure);
    assert.deepEqual(await readdir(root), ['cofre.json']);
    await volume.put('acme/two/attempt/data', bytesBody(Buffer.from('x')));
    await assert.rejects(volume.put('acme/one/attempt/data', body), (error) => error === failure);
    assert.deepEqual(await readdir(join(root, 'acme')), ['two']);
  });

  test('hears an abort at once, also before the source has given anything, and leaves nothing', async () => {
    for (const delayMs of [0, 1, 50]) {
      const stop = new AbortController();
      const put = volume.put('a/data', standingBody(0), { signal: stop.signal });
      if (delayMs > 0) setTimeout(() => stop.abort(new Error('stop')), delayMs);
      else stop.abort(new Error('stop'));
      await assert.rejects(put, /^Error: stop$/);
    }
    assert.deepEqual(await readdir(root), ['cofre.json']);
  });

  test('a removal that was killed between two folders is ended by the next one', async () => {
    for (const again of [() => volume.discard('acme/one/attempt/'), () => volume.remove('acme/one/attempt/data')]) {
      await mkdir(join(root, 'acme', 'one'), { recursive: true });
      await again();
      assert.deepEqual(await readdir(root), ['cofre.json']);
    }
  });

  test('a put that was killed leaves nothing to see; the next one succeeds and cleans up after it', async () => {
    const bytes = randomBytes(4_000_000);
    const source = join(root, '.source');
    await writeFile(source, bytes);
    const child = spawn(process.execPath, [slowPut, root, source, 'acme/backup/a1/data']);
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    assert.match(line.toString(), /half way/);
    child.kill('SIGKILL');
    await once(child, 'exit');
    assert.equal((await temporaries(root)).length, 1);
    assert.deepEqual(await keys(volume), []);
    await assert.rejects(volume.get('acme/backup/a1/data'), { code: 'not-found' });
    const { sizeBytes, sha256 } = await hashFile(source);
    await volume.put('acme/backup/a1/data', localFileBody(source, sizeBytes, sha256));
    assert.ok(bytes.equals(await read(volume, 'acme/backup/a1/data')));
    assert.deepEqual(await temporaries(root), []);
  });

  test('a put that was killed when its object had its name already leaves nothing either, once it is put again', async () => {
    const body = bytesBody(Buffer.from('x'));
    await volume.put('acme/backup/manifest.json', body);
    // The other name of the same file, of a process that is gone.
    const temporary = temporaryName().replace(`-${process.pid}-`, '-4194305-');
    await link(join(root, 'acme/backup/manifest.json'), join(root, 'acme/backup', temporary));
    await volume.put('acme/backup/manifest.json', body);
    assert.deepEqual(await temporaries(root), []);
  });

  test('a put leaves the temporary of a living process alone, and takes those that nobody wrote to for long', async () => {
    const bytes = randomBytes(1_000_000);
    const source = join(root, '.source');
    await writeFile(source, bytes);
    const child = spawn(process.execPath, [slowPut, root, source, 'acme/backup/a1/data']);
    await once(child.stdout, 'data');
    await writeFile(join(root, 'acme/backup/a1', '.tmp-0123456789ab-7-77-0123456789ab'), 'of another machine, now');
    await writeFile(
      join(root, 'acme/backup/a1', '.tmp-0123456789ab-7-77-ba9876543210'),
      'of another machine, long ago',
    );
    await utimes(join(root, 'acme/backup/a1', '.tmp-0123456789ab-7-77-ba9876543210'), 1, 1);
    await volume.put('acme/backup/a1/other', bytesBody(Buffer.from('x')));
    assert.equal((await temporaries(root)).length, 2);
    child.stdin.end('go on\n');
    assert.deepEqual(await once(child, 'exit'), [0, null]);
    assert.ok(bytes.equals(await read(volume, 'acme/backup/a1/data')));
  });
});

describe('a directory on a small file system', { skip: process.getuid?.() !== 0 && 'only root can mount one' }, () => {
  let root: string;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'cofre-small-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m,mode=755', 'cofre-test', root]);
    await prepareDirectory(root);
  });
  afterEach(async () => {
    execFileSync('umount', [root]);
    await rm(root, { recursive: true });
  });

  test('says that there is no room, leaves nothing, and takes what fits', async () => {
    const volume = new DirectoryDestination('small', root);
    await assert.rejects(volume.put('a/large', bytesBody(randomBytes(4_000_000))), {
      code: 'no-space',
      retryable: false,
      hint: /make room/,
    });
    assert.deepEqual(await keys(volume), []);
    assert.deepEqual(await temporaries(root), []);
    await volume.put('a/large', bytesBody(randomBytes(1_000_000)));
  });

  test('says so also while the source stands still', async () => {
    await assert.rejects(new DirectoryDestination('small', root).put('a/data', standingBody(9_000_000)), {
      code: 'no-space',
    });
    assert.deepEqual(await readdir(root), ['cofre.json']);
  });

  test('has room for the next put although the one before was killed', async () => {
    const source = join(root, '..', `${root.split('/').at(-1)}-source`);
    await writeFile(source, randomBytes(1_500_000));
    try {
      const child = spawn(process.execPath, [slowPut, root, source, 'a/data']);
      await once(child.stdout, 'data');
      child.kill('SIGKILL');
      await once(child, 'exit');
      const { sizeBytes, sha256 } = await hashFile(source);
      await new DirectoryDestination('small', root).put('a/data', localFileBody(source, sizeBytes, sha256));
    } finally {
      await rm(source);
    }
  });

  test('says when it is mounted read-only', async () => {
    execFileSync('mount', ['-o', 'remount,ro', root]);
    await assert.rejects(new DirectoryDestination('ro', root).put('a', bytesBody(Buffer.from('x'))), {
      code: 'access-denied',
    });
  });

  test('is not mounted any more: the folder below takes nothing', async () => {
    const volume = new DirectoryDestination('small', root);
    await volume.put('a', bytesBody(Buffer.from('x')));
    execFileSync('umount', [root]);
    try {
      await assert.rejects(volume.put('b', bytesBody(Buffer.from('x'))), { code: 'not-mounted' });
      assert.deepEqual(await readdir(root), []);
    } finally {
      execFileSync('mount', ['-t', 'tmpfs', 'cofre-test', root]);
    }
  });
});

test(
  'a directory that belongs to somebody else says so',
  { skip: process.getuid?.() !== 0 && 'only root can become another user' },
  async () => {
    const root = await mkdtemp(join(tmpdir(), 'cofre-directory-'));
    try {
      await prepareDirectory(root);
      await chmod(root, 0o755);
      await chmod(join(root, 'cofre.json'), 0o644);
      const volume = new DirectoryDestination('volume', root);
      process.seteuid?.(65534);
      try {
        await assert.rejects(volume.put('a/b', bytesBody(Buffer.from('x'))), { code: 'access-denied' });
      } finally {
        process.seteuid?.(0);
      }
    } finally {
      await rm(root, { recursive: true });
    }
  },
);

const slowPut = fileURLToPath(new URL('./slow-put.js', import.meta.url));

async function temporaries(root: string): Promise<string[]> {
  return (await readdir(root, { recursive: true })).filter((name) => /(^|\/)\.tmp-/.test(name));
}

/** Gives so many bytes, and then neither more nor its end. */
function standingBody(bytes: number): Body {
  async function* read(): AsyncGenerator<Buffer> {
    if (bytes > 0) yield randomBytes(bytes);
    await new Promise(() => undefined);
  }
  return { ...bytesBody(randomBytes(20_000_000)), open: () => Readable.from(read(), { objectMode: false }) };
}

function* failing(error: Error): Generator<Buffer> {
  yield Buffer.from('half ');
  throw error;
}
