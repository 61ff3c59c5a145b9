import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, mkdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { inspect } from 'node:util';

import type { RcloneConfig } from '../../../config/destination-schema.ts';
import { bytesBody } from '../../../destinations/local-file.ts';
import { RcloneDestination } from '../../../destinations/rclone/rclone.ts';
import type { CofreError } from '../../../errors/error.ts';
import { RcloneRemotes, childrenCalled, markedFolder, obscured, rclone, withFault } from '../../rclone.ts';
import { until } from '../../until.ts';
import { gatedBody } from '../gated-body.ts';

const PASSWORD = 'Canary-Pass "0451" é';
const TOKEN = `Canary${randomBytes(12).toString('hex')}`;
const CONFIG_PASSWORD = 'Canary-Config-0451';

let remotes: RcloneRemotes;
let root: string;

before(async () => {
  root = await markedFolder();
  remotes = await RcloneRemotes.make({
    here: { type: 'local' },
    web: { type: 'webdav', url: `http://someone:${TOKEN}@127.0.0.1:1/dav?token=${TOKEN}`, pass: obscured(PASSWORD) },
    drive: { type: 'drive', token: JSON.stringify({ access_token: TOKEN, refresh_token: `1//${TOKEN}` }) },
  });
});
after(async () => {
  await rm(root, { recursive: true });
  await remotes.remove();
});

describe('the rclone of a host and its configuration', () => {
  test('no rclone, and one that is older than what was tried, are refused by name', async () => {
    const path = process.env['PATH'];
    const folder = join(remotes.folder, 'bin');
    await mkdir(folder);
    await symlink('/usr/bin/setpriv', join(folder, 'setpriv'));
    try {
      process.env['PATH'] = folder;
      const none = await failureOf(remotes.config(`here:${root}`));
      assert.equal(none.code, 'tool-missing');
      assert.match(none.hint ?? '', /install rclone 1\.75\.1/);
      await writeFile(join(folder, 'rclone'), '#!/bin/sh\necho rclone v1.60.1-DEV\n');
      await chmod(join(folder, 'rclone'), 0o755);
      const old = await failureOf(remotes.config(`here:${root}`));
      assert.equal(old.code, 'tool-version');
      assert.match(old.message, /is 1\.60\.1, and 1\.75\.1 is the oldest/);
    } finally {
      process.env['PATH'] = path;
    }
    await works(remotes.config(`here:${root}`));
  });

  test('a remote that is not in the configuration, and a configuration that is not there, are named', async () => {
    for (const config of [
      remotes.config('nowhere:folder'),
      { ...remotes.config(`here:${root}`), configFile: '/nowhere/rclone.conf' },
    ]) {
      const error = await failureOf(config);
      assert.equal(error.code, 'bad-config');
      assert.match(error.message, /didn't find section/);
      assert.match(error.hint ?? '', /rclone listremotes/);
    }
  });

  test('the moment in which rclone replaces its configuration passes by', async () => {
    const away = `${remotes.file}.old`;
    // As rclone does it: for a moment there is none, and then one again.
    const back = { after: `[ -e ${away} ] && mv ${away} ${remotes.file}` };
    await rename(remotes.file, away);
    await withFault(back, () => works(remotes.config(`here:${root}`)));
  });

  test('case 96: what a service says is passed on without what its configuration holds', async () => {
    const web = await failureOf(remotes.config('web:folder'));
    assert.equal(web.code, 'destination-unavailable');
    assert.match(web.message, /connection refused/);
    const forms = [
      TOKEN,
      PASSWORD,
      encodeURIComponent(PASSWORD),
      Buffer.from(PASSWORD).toString('base64'),
      obscured('x'),
    ];
    const said = join(remotes.folder, 'said');
    await writeFile(said, `NOTICE: Failed to cat: ${forms.join(' and ')}: permission denied\n`);
    await withFault({ before: `cat ${said} >&2; exit 1` }, async () => {
      const error = await failureOf(remotes.config('drive:folder'));
      assert.equal(error.code, 'access-denied');
      assert.match(error.message, /\[…\] and .*permission denied/);
    });
  });

  test('an encrypted configuration is opened with its password, which stands in no argument and no error', async () => {
    const sealed = await RcloneRemotes.make({ here: { type: 'local' } });
    process.env['COFRE_TEST_RCLONE'] = CONFIG_PASSWORD;
    process.env['COFRE_TEST_RCLONE_WRONG'] = 'Canary-Wrong-0451';
    try {
      const command = `echo ${CONFIG_PASSWORD}`;
      rclone('config', 'encryption', 'set', '--config', sealed.file, '--password-command', command);
      assert.match(await readFile(sealed.file, 'utf8'), /RCLONE_ENCRYPT_V/);
      const config = sealed.config(`here:${root}`);
      for (const wrong of [config, { ...config, configPassword: 'env:COFRE_TEST_RCLONE_WRONG' }]) {
        const error = await failureOf(wrong);
        assert.equal(error.code, 'access-denied');
        assert.match(error.hint ?? '', /configPassword/);
      }
      const opened = { ...config, configPassword: 'env:COFRE_TEST_RCLONE' };
      await works(opened);
      const body = gatedBody(randomBytes(200_000));
      const put = new RcloneDestination('drive', opened).put('sealed', body);
      await body.halfWay;
      await until('rclone runs', () => childrenCalled('rclone').length > 0);
      const [pid = 0] = childrenCalled('rclone');
      assert.match(await readFile(`/proc/${pid}/cmdline`, 'utf8'), /rcat/);
      assert.doesNotMatch(await readFile(`/proc/${pid}/cmdline`, 'utf8'), /Canary/);
      body.goOn();
      await put;
    } finally {
      await sealed.remove();
    }
  });

  test('a call that is cancelled ends the programs that rclone has started, too', async () => {
    const [hangs, started] = [join(remotes.folder, 'hangs'), join(remotes.folder, 'started')];
    await writeFile(hangs, `#!/bin/sh\nsleep 1000 &\necho $! >${started}\nwait\n`);
    await chmod(hangs, 0o755);
    await remotes.write({ far: { type: 'sftp', ssh: hangs } });
    const controller = new AbortController();
    const reason = new Error('the operator cancelled');
    const asked = new RcloneDestination('far', remotes.config('far:folder')).stat('a', { signal: controller.signal });
    await until('its ssh hangs', () => existsSync(started) && readFileSync(started, 'utf8').endsWith('\n'));
    const pid = Number(readFileSync(started, 'utf8'));
    assert.ok(childrenCalled('sleep', 'any').includes(pid));
    controller.abort(reason);
    await assert.rejects(asked, (error) => error === reason);
    await until('all have ended', () => !childrenCalled('sleep', 'any').includes(pid), 10_000);
  });
});

async function works(config: RcloneConfig): Promise<void> {
  assert.match(await new RcloneDestination('drive', config).identity(), /^\S{8,}$/);
}

/** What using it fails with: in no depth of it is a secret. */
async function failureOf(config: RcloneConfig): Promise<CofreError> {
  try {
    await new RcloneDestination('drive', config).put('a', bytesBody(Buffer.from('x')));
  } catch (error) {
    const text = inspect(error, { depth: 20, showHidden: true });
    for (const secret of [TOKEN, PASSWORD, encodeURIComponent(PASSWORD), 'Canary'])
      assert.ok(!text.includes(secret), text);
    assert.ok(!text.includes(Buffer.from(PASSWORD).toString('base64').replace(/=+$/, '')));
    return error as CofreError;
  }
  throw new Error('it worked');
}
