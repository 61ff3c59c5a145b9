import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';

import { Spool } from '../../activities/spool.ts';

async function makeSpool(context: TestContext): Promise<{ spool: Spool; outside: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'cofre-spool-'));
  context.after(() => rm(folder, { recursive: true }));
  const outside = join(folder, 'outside');
  await mkdir(outside);
  await writeFile(join(outside, 'precious'), 'x');
  const path = join(folder, 'spool');
  await mkdir(path);
  return { spool: new Spool(path, '1%'), outside };
}

test('removes one run and nothing beside it, and once more is fine', async (context) => {
  const { spool } = await makeSpool(context);
  await spool.create('acme', '20261120T210000Z-1f3a9c04', 'a1');
  await spool.create('acme', '20261121T210000Z-1f3a9c04', 'a1');
  await spool.remove('acme', '20261120T210000Z-1f3a9c04');
  await spool.remove('acme', '20261120T210000Z-1f3a9c04');
  assert.deepEqual(await spool.entries('acme'), ['20261121T210000Z-1f3a9c04']);
});

test('case 55: refuses to remove an environment, the spool, or anything outside', async (context) => {
  const { spool, outside } = await makeSpool(context);
  await spool.create('acme', 'x');
  for (const names of [
    [],
    ['acme'],
    ['acme', '..'],
    ['acme', ''],
    ['..', 'outside'],
    ['acme', 'x/../..'],
    ['/', 'x'],
  ]) {
    await assert.rejects(spool.remove(...names), { code: 'invalid-key' }, JSON.stringify(names));
  }
  assert.deepEqual(await readdir(outside), ['precious']);
});

test('case 55: refuses a symbolic link, wherever it stands on the way', async (context) => {
  const { spool, outside } = await makeSpool(context);
  await symlink(outside, join(spool.path, 'linked'));
  await spool.create('acme');
  await symlink(outside, join(spool.path, 'acme', 'run'));
  await assert.rejects(spool.remove('linked', 'precious'), { code: 'invalid-key' });
  await assert.rejects(spool.remove('acme', 'run'), { code: 'invalid-key' });
  assert.deepEqual(await readdir(outside), ['precious']);
});

test('says how much room is missing', async (context) => {
  const { spool } = await makeSpool(context);
  await spool.requireRoom(1, 'a small dump');
  await assert.rejects(spool.requireRoom(1e18, 'a huge dump'), {
    code: 'no-space',
    message: /a huge dump needs about/,
  });
});
