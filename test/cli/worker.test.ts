import assert from 'node:assert/strict';
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
});
