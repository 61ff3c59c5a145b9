import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import type { RcloneConfig } from '../../../config/destination-schema.ts';
import { findAbandoned } from '../../../destinations/abandoned.ts';
import { bytesBody } from '../../../destinations/local-file.ts';
import { rclonePlace } from '../../../destinations/rclone/place.ts';
import { RcloneDestination } from '../../../destinations/rclone/rclone.ts';
import { RcloneRemotes, childrenCalled, markedFolder, withFault } from '../../rclone.ts';
import { SmallDisk } from '../../small-disk.ts';
import { until } from '../../until.ts';
import { keys, read } from '../contract.ts';
import { gatedBody } from '../gated-body.ts';

const KEY = 'acme/backup/a1/database.tar';

let remotes: RcloneRemotes;
let root: string;
let config: RcloneConfig;
let drive: RcloneDestination;

before(async () => {
  remotes = await RcloneRemotes.make({ here: { type: 'local' } });
});
after(() => remotes.remove());
beforeEach(async () => {
  root = await markedFolder();
  config = remotes.config(`here:${root}`);
  drive = new RcloneDestination('drive', config);
});
afterEach(() => rm(root, { recursive: true, force: true }));

describe('an rclone remote with faults', () => {
  test('case 32: an rclone that is killed in the middle leaves nothing to see, and the next try stores it', async () => {
    const bytes = randomBytes(3_000_000);
    const body = gatedBody(bytes);
    const put = drive.put(KEY, body);
    await body.halfWay;
    await until('rclone runs', () => childrenCalled('rclone').length > 0);
    for (const pid of childrenCalled('rclone')) process.kill(pid, 'SIGKILL');
    await assert.rejects(put, { code: 'destination-unavailable', message: /SIGKILL/ });
    assert.deepEqual(await stored(), []);
    await drive.put(KEY, bytesBody(bytes));
    assert.ok(bytes.equals(await read(drive, KEY)));
  });

  test('case 45: a worker that is killed ends its rclone, and what that had sent goes with the next put or the night', async () => {
    const worker = spawn(process.execPath, [putFile, JSON.stringify(config), KEY], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(worker.stdout, 'data');
    await until('something is sent', async () => (await stored()).length > 0);
    const [rclone = 0] = childrenCalled('rclone', worker.pid);
    assert.ok(rclone > 0);
    worker.kill('SIGKILL');
    await until('rclone has ended', () => !childrenCalled('rclone', 'any').includes(rclone));
    assert.deepEqual(await keys(drive), []);
    assert.match((await stored()).join(), /\.put-/);
    const signal = new AbortController().signal;
    const [left, ...more] = await findAbandoned(config, new Date(Date.now() + 1000), signal);
    assert.equal(left?.key.replace(/[^/]+$/, ''), 'acme/backup/a1/');
    assert.deepEqual(more, []);
    assert.deepEqual(await findAbandoned(config, new Date(Date.now() - 60_000), signal), []);
    await drive.put(KEY, bytesBody(Buffer.from('begun again')));
    assert.deepEqual(await stored(), [KEY]);
    await left?.remove();
  });

  test('case 38: what another host has published meanwhile is never replaced', async () => {
    for (const theirs of ['other bytes', 'x'.repeat(3000)]) {
      const body = gatedBody(Buffer.alloc(3000, 'x'));
      const put = drive.put(KEY, body).then(
        () => 'stored',
        (error: { code: string }) => error.code,
      );
      await body.halfWay;
      await mkdir(join(root, 'acme/backup/a1'), { recursive: true });
      await writeFile(join(root, KEY), theirs);
      body.goOn();
      assert.equal(await put, theirs === 'other bytes' ? 'already-exists' : 'stored');
      assert.equal(await readFile(join(root, KEY), 'utf8'), theirs);
      assert.deepEqual(await stored(), [KEY]);
      await drive.remove(KEY);
    }
  });

  test('case 38: who was replaced in the same moment is told so, because what is small is read back', async () => {
    const after = `case "$*" in *moveto*) printf theirs >${root}/manifest.json;; esac`;
    await withFault({ after }, () =>
      assert.rejects(drive.put('manifest.json', bytesBody(Buffer.from('this is'))), { code: 'already-exists' }),
    );
    await drive.remove('manifest.json');
    await withFault({ after }, () =>
      assert.rejects(drive.put('manifest.json', bytesBody(Buffer.from('ours!!'))), { code: 'already-exists' }),
    );
  });

  test('case 33: the answer to the last step is lost, and what is there decides', async () => {
    const lost = `case "$*" in *moveto*) code=1; echo 'NOTICE: Failed to moveto: connection reset by peer' >&2;; esac`;
    await withFault({ after: lost }, () => drive.put(KEY, bytesBody(Buffer.from('whole'))));
    assert.deepEqual(await stored(), [KEY]);
    const before = `case "$*" in *moveto*) echo 'NOTICE: Failed to moveto: connection reset by peer' >&2; exit 1;; esac`;
    await withFault({ before }, () =>
      assert.rejects(drive.put('a/b/c', bytesBody(Buffer.from('x'))), { code: 'destination-unavailable' }),
    );
    assert.deepEqual(await stored(), [KEY]);
  });

  test('an rclone that says everything and then fails has said nothing', async () => {
    await drive.put(KEY, bytesBody(Buffer.from('whole')));
    const fails = { after: `case "$*" in *cofre.json*) ;; *) code=1;; esac` };
    await withFault(fails, async () => {
      await assert.rejects(keys(drive), { code: 'destination-unavailable' });
      await assert.rejects(drive.put('a/b/c', bytesBody(Buffer.from('x'))), { code: 'destination-unavailable' });
    });
    await withFault({ after: `case "$*" in *' cat '*database.tar*) code=1;; esac` }, () =>
      assert.rejects(read(drive, KEY), { code: 'destination-unavailable' }),
    );
    await withFault(
      { after: `case "$*" in *lsjson*) echo 'ERROR : drive root: search result INCOMPLETE' >&2;; esac` },
      () => assert.rejects(keys(drive), { code: 'destination-unavailable', message: /incomplete/ }),
    );
  });

  test('case 35: a service that keeps fewer bytes than it took is found out', async () => {
    const cuts = `case "$*" in *rcat*) truncate -s -1 ${root}/acme/backup/a1/.put-*;; esac`;
    await withFault({ after: cuts }, () =>
      assert.rejects(drive.put(KEY, bytesBody(randomBytes(2_000_000))), { code: 'destination-unavailable' }),
    );
    assert.deepEqual(await stored(), []);
    const gives = `case "$*" in *' cat '*database.tar*) echo short; exit 0;; esac`;
    await drive.put(KEY, bytesBody(Buffer.from('longer than that')));
    await withFault({ before: gives }, () =>
      assert.rejects(read(drive, KEY), { code: 'destination-unavailable', message: /6 of 16 bytes/ }),
    );
  });

  test('case 52: an object that shows late is waited for', async () => {
    const count = join(remotes.folder, 'asked');
    const late = `case "$*" in *lsjson*) echo x >>${count}; [ $(wc -l <${count}) -gt 3 ] || { echo '['; echo ']'; exit 0; };; esac`;
    await withFault({ before: late }, () => drive.put(KEY, bytesBody(Buffer.from('late'))));
    assert.ok((await readFile(count, 'utf8')).length > 2);
    assert.equal((await read(drive, KEY)).toString(), 'late');
  });

  test('case 41: a volume behind a remote that is not mounted takes nothing, and does not look like one that lost its objects', async () => {
    const disk = await SmallDisk.mount('2m');
    const mounted = new RcloneDestination('volume', remotes.config(`here:${disk.path}`));
    await rclonePlace(remotes.config(`here:${disk.path}`)).prepare();
    await mounted.put(KEY, bytesBody(Buffer.from('x')));
    await disk.unmount();
    await mkdir(disk.path);
    try {
      await assert.rejects(keys(mounted), { code: 'not-mounted' });
      await assert.rejects(mounted.stat(KEY), { code: 'not-mounted' });
      const again = new RcloneDestination('volume', remotes.config(`here:${disk.path}`));
      await assert.rejects(again.put(KEY, bytesBody(Buffer.from('x'))), { code: 'not-mounted' });
      assert.deepEqual(await readdir(disk.path), []);
    } finally {
      await rm(disk.path, { recursive: true });
    }
  });

  test('case 47: an object that somebody removed is not-found and not listed, and a folder that is gone is not-mounted', async () => {
    await drive.put(KEY, bytesBody(Buffer.from('x')));
    await drive.put('acme/backup/manifest.json', bytesBody(Buffer.from('{}')));
    await rm(join(root, KEY));
    for (const call of [() => drive.stat(KEY), () => drive.get(KEY)]) await assert.rejects(call, { code: 'not-found' });
    assert.deepEqual(await keys(drive), ['acme/backup/manifest.json']);
    await rename(root, `${root}.gone`);
    await assert.rejects(drive.stat(KEY), { code: 'not-mounted' });
    await rename(`${root}.gone`, root);
  });

  test('a name that is also that of its folder is no object of it', async () => {
    await drive.put('a/same', bytesBody(Buffer.from('x')));
    await assert.rejects(drive.stat('a/same/same'), { code: 'not-found' });
    assert.deepEqual(await keys(drive, 'a/same/'), []);
    await drive.remove('a/same');
    await drive.put('a/same/same', bytesBody(Buffer.from('xy')));
    assert.equal((await drive.stat('a/same/same')).sizeBytes, 2);
    assert.deepEqual(await keys(drive, 'a/same/'), ['a/same/same']);
  });

  test('removals leave no empty folders of a backup', async () => {
    await drive.put(KEY, bytesBody(Buffer.from('x')));
    await drive.put('acme/other/a1/data', bytesBody(Buffer.from('x')));
    await drive.remove(KEY);
    await drive.discard('acme/other/a1/');
    assert.deepEqual(await readdir(root, { recursive: true }), ['acme', 'cofre.json']);
  });
});

/** The files of the place but for its marker. */
async function stored(): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
  return files.map((path) => path.slice(root.length + 1)).filter((path) => path !== 'cofre.json');
}

const putFile = fileURLToPath(new URL('./put-file.js', import.meta.url));
