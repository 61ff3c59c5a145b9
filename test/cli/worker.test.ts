import assert from 'node:assert/strict';
import { chmod, mkdir, readdir, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { cofre, RunningCommand } from './command.ts';
import { Installation } from './installation.ts';

let here: Installation;

before(async () => {
  here = await Installation.create();
});
after(async () => {
  await here.remove();
});

describe('cofre worker', () => {
  test('waits for the first apply, then takes work, and SIGTERM stops it cleanly', async () => {
    const worker = new RunningCommand(['worker', '--host', 'here', '--config', here.configPath]);
    await worker.says(/waiting: there is no catalog in this database yet/);
    assert.equal((await cofre('apply', '--yes', '--config', here.configPath)).code, 0);
    await worker.says(/takes work for the host here/);
    const { stdout } = await cofre('status', '--config', here.configPath);
    assert.doesNotMatch(stdout, /no worker/);
    worker.child.kill('SIGTERM');
    assert.equal(await worker.ended, 0);
  });

  test('a host that is not in the configuration is exit code 2 and names the known ones', async () => {
    const { code, stderr } = await cofre('worker', '--host', 'nowhere', '--config', here.configPath);
    assert.equal(code, 2);
    assert.match(stderr, /there is no host "nowhere"[^]*known: here/);
  });

  test('case 98: a spool that others can write to, or a link in the place of its own folder, is refused', async () => {
    const spool = join(here.folder, 'spool');
    await rm(spool, { recursive: true, force: true });
    const refused = async (message: RegExp): Promise<void> => {
      const { code, stderr } = await cofre('worker', '--host', 'here', '--config', here.configPath);
      assert.equal(code, 1);
      assert.match(stderr, message);
      assert.match(stderr, /chmod 700/);
    };
    await mkdir(spool);
    await chmod(spool, 0o770);
    await refused(/can be written to by others \(mode 770\)/);
    await chmod(spool, 0o700);
    await symlink(tmpdir(), join(spool, '.run'));
    await refused(/\.run is not a folder but something else, such as a link/);
    await rm(join(spool, '.run'));
    await mkdir(join(spool, '.run'));
    await refused(/\.run is open to others \(mode 755\)/);
    assert.deepEqual(await readdir(join(spool, '.run')), []);
  });
});
