import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { DumpRoom } from '../../activities/dump-room.ts';
import type { BackupPlan } from '../../activities/plans.ts';
import { Spool } from '../../activities/spool.ts';
import { CofreError } from '../../errors/error.ts';
import { SmallDisk } from '../small-disk.ts';

const ID = '20261120T210000Z-1f3a9c04';

test('case 4: a dump that was estimated too small waits for what it turned out to need, not for what was estimated', async (context) => {
  const disk = await SmallDisk.mount('20m');
  context.after(() => disk.unmount());
  const spool = new Spool(disk.path, '10%');
  const plan = {
    environment: { id: 'acme' },
    backupId: ID,
    pipeline: 'staged',
    lastSizes: null,
  } as unknown as BackupPlan;
  const room = new DumpRoom(spool, plan, 10_000_000);
  await room.require();
  const directory = await spool.create('acme', ID, 'a1-0badcafe');
  await room.keep(directory);
  await writeFile(join(directory, 'raw'), Buffer.alloc(19_000_000));
  const tooLarge = {
    code: 'no-space',
    message: /the dump of acme, of which 19 MB were written, needs about 23 MB in .* 0 MB above/,
  };
  await assert.rejects(room.keep(directory), tooLarge);
  // The kernel's own word, when the disk is fuller than the next look.
  const full = await room.explain(new CofreError('no-space', 'the spool is full'), directory);
  assert.ok(full instanceof CofreError && tooLarge.message.test(full.message));
  await spool.remove('acme', ID, 'a1-0badcafe');
  await room.remember(full);

  const next = new DumpRoom(spool, plan, 10_000_000);
  await assert.rejects(next.require(), { code: 'no-space', message: /the dump of acme needs about 23 MB/ });
  disk.resize('30m');
  await next.require();
  const another = new CofreError('tool-failed', 'pg_dump ended');
  assert.equal(await next.explain(another, directory), another);
});
