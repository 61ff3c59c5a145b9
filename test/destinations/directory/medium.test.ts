import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { prepareDirectory } from '../../../destinations/directory/marker.ts';
import { DirectoryDestination } from '../../../destinations/directory/directory.ts';
import { bytesBody } from '../../../destinations/local-file.ts';

const slowPut = fileURLToPath(new URL('./slow-put.js', import.meta.url));

/** Large enough to go past the machine's memory, and at its end no block of the medium. */
const LARGE_BYTES = 9_000_001;

/** What a put asks of the kernel; on a disk, because a file system in memory has no medium. */
describe('a put to a mounted folder', { skip: !hasStrace() && 'no strace' }, () => {
  let root: string;
  beforeEach(async () => {
    root = await mkdtemp(join(process.cwd(), '.cofre-test-'));
    await prepareDirectory(root);
  });
  afterEach(() => rm(root, { recursive: true, force: true }));

  test('survives a power cut by its order: data, name, folders', async () => {
    const { calls } = await putTraced(randomBytes(100_000), ['-e', 'trace=fsync,link,unlink']);
    const kinds = calls.map((line) => {
      const call = /(fsync|unlink|link)\(/.exec(line)?.[1];
      if (call !== 'fsync') return call;
      return line.includes('/.tmp-') ? 'fsync data' : line.includes('/acme>') ? 'fsync acme' : 'fsync root';
    });
    assert.deepEqual(kinds, ['fsync data', 'link', 'unlink', 'fsync acme', 'fsync root']);
  });

  test('lets the verification read the medium: nothing of it stays in memory', async () => {
    const volume = new DirectoryDestination('volume', root);
    for (const [key, sizeBytes] of Object.entries({ small: 100_000, large: LARGE_BYTES })) {
      await volume.put(key, bytesBody(randomBytes(sizeBytes)));
      const pages = execFileSync('fincore', ['--noheadings', '--output', 'PAGES', join(root, key)], {
        encoding: 'utf8',
      });
      assert.equal(Number(pages.trim()), 0, key);
    }
  });

  test('writes a large object past the memory of the machine, to the byte', async () => {
    const bytes = randomBytes(LARGE_BYTES);
    const { calls, exitCode } = await putTraced(bytes, ['-e', 'trace=openat,pwrite64,ftruncate']);
    assert.equal(exitCode, 0);
    assert.equal(calls.filter((line) => line.includes('O_CREAT') && line.includes('O_DIRECT')).length, 1);
    assert.ok(bytes.equals(await readFile(join(root, 'acme/data'))));
  });

  test('writes it through the memory where the file system has no way past it', async () => {
    const bytes = randomBytes(LARGE_BYTES);
    const { calls, exitCode } = await putTraced(bytes, [
      ...['-e', 'trace=openat,pwrite64'],
      ...['-e', 'inject=pwrite64:error=EINVAL:when=1'],
    ]);
    assert.equal(exitCode, 0);
    const opened = calls.filter((line) => line.includes('O_CREAT') && line.includes('/.tmp-'));
    assert.deepEqual(
      opened.map((line) => line.includes('O_DIRECT')),
      [true, false],
    );
    assert.ok(bytes.equals(await readFile(join(root, 'acme/data'))));
    assert.deepEqual(await readdir(join(root, 'acme')), ['data']);
  });

  test('says which write failed, wherever it was, and leaves nothing', async () => {
    for (const failing of ['when=2', 'when=5']) {
      const { exitCode, stderr } = await putTraced(randomBytes(LARGE_BYTES), [
        ...['-e', 'trace=pwrite64'],
        ...['-e', `inject=pwrite64:error=ENOSPC:${failing}`],
      ]);
      assert.equal(exitCode, 1, failing);
      assert.match(stderr, /code: 'no-space'/, failing);
      assert.deepEqual(
        (await readdir(root)).filter((name) => !name.startsWith('.')),
        ['cofre.json'],
      );
    }
  });

  /** One thread makes the calls, so that the n-th of them is the same each time. */
  async function putTraced(
    bytes: Buffer,
    options: readonly string[],
  ): Promise<{ calls: string[]; exitCode: number; stderr: string }> {
    const source = join(root, '.source');
    await writeFile(source, bytes);
    const trace = join(root, '.trace');
    const child = spawn(
      'strace',
      ['-f', '-y', '-o', trace, ...options, process.execPath, slowPut, root, source, 'acme/data'],
      { env: { ...process.env, UV_THREADPOOL_SIZE: '1' } },
    );
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const exited = once(child, 'exit') as Promise<[number]>;
    await Promise.race([once(child.stdout, 'data'), exited]);
    child.stdin.on('error', () => undefined); // It may have ended already.
    child.stdin.end('go on\n');
    const [exitCode] = await exited;
    const lines = (await readFile(trace, 'utf8')).split('\n');
    return { calls: lines.filter((line) => line.includes(root)), exitCode, stderr };
  }
});

function hasStrace(): boolean {
  try {
    execFileSync('strace', ['-V'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
