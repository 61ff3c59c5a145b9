import assert from 'node:assert/strict';
import { mkdtemp, rm, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { makeOwnFolder, makePrivateFolder } from '../../processes/own-folder.ts';

test('a folder is made with its parents for nobody else, and found again', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'cofre-own-'));
  t.after(() => rm(root, { recursive: true }));
  const path = join(root, 'a', 'b', 'c');
  await Promise.all([makePrivateFolder(path), makePrivateFolder(path), makeOwnFolder(path)]);
  await makePrivateFolder(path);
  for (const made of [path, join(root, 'a')]) assert.equal((await stat(made)).mode & 0o777, 0o700);

  await symlink(path, join(root, 'link'));
  await assert.rejects(makePrivateFolder(join(root, 'link')), { code: 'access-denied', message: /such as a link/ });
});

test('where no folder can be made it says so, and does not try for ever', { timeout: 10_000 }, async () => {
  await assert.rejects(makePrivateFolder('/proc/nowhere'), { code: 'ENOENT' });
  await assert.rejects(makePrivateFolder('/proc/nowhere/below'), { code: 'ENOENT' });
  await assert.rejects(makePrivateFolder('/dev/null/below'), { code: 'ENOTDIR' });
  await assert.rejects(makeOwnFolder('/dev/null'), { code: 'access-denied', message: /is not a folder/ });
});
