import assert from 'node:assert/strict';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { examineDestinations } from '../../cli/doctor/machine.ts';
import { findConfigPath, loadConfig } from '../../config/load.ts';
import { RcloneRemotes } from '../rclone.ts';
import { cofre } from './command.ts';
import { Installation } from './installation.ts';

let here: Installation;
let remotes: RcloneRemotes;

before(async () => {
  here = await Installation.create();
  remotes = await RcloneRemotes.make({ gdrive: { type: 'alias', remote: here.folder } });
});
after(async () => {
  await here.remove();
  await remotes.remove();
});

test('a remote of rclone is prepared, found by apply and doctor, and refused twice', async () => {
  const command = (...args: string[]): ReturnType<typeof cofre> => cofre(...args, '--yes', '--config', here.configPath);
  await write({ drive: remotes.config('gdrive:cofre') });
  const missing = await command('destination', 'prepare', 'drive');
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /rclone mkdir gdrive:cofre/);
  await mkdir(join(here.folder, 'cofre'));
  const prepared = await command('destination', 'prepare', 'drive');
  assert.match(prepared.stderr, /prepared the rclone remote gdrive:cofre/);
  assert.deepEqual(await readdir(join(here.folder, 'cofre')), ['cofre.json']);

  await mkdir(join(here.folder, 'new'));
  await write({ drive: remotes.config('gdrive:cofre'), new: remotes.config('gdrive:new') });
  const applied = await command('apply');
  assert.equal(applied.code, 0, applied.stderr);
  assert.deepEqual(await readdir(join(here.folder, 'new')), ['cofre.json']);
  assert.deepEqual(await examined(), [
    ['ok', 'drive: the rclone remote gdrive:cofre is there and can be read'],
    ['ok', 'new: the rclone remote gdrive:new is there and can be read'],
  ]);

  await write({ drive: remotes.config('gdrive:cofre'), again: remotes.config('gdrive:cofre') });
  const twice = await command('apply');
  assert.equal(twice.code, 2);
  assert.match(twice.stderr, /is the same place as destination drive/);
  await write({ drive: remotes.config('gdrive:cofre'), again: remotes.config('gdrive:new/../cofre') });
  assert.match((await command('apply')).stderr, /must be NAME:FOLDER/);
  await write({ drive: { ...remotes.config('gdrive,token=Canary0451:cofre') } });
  const secret = await command('apply');
  assert.match(secret.stderr, /must be NAME:FOLDER/);
  assert.doesNotMatch(secret.stderr, /Canary/);

  await write({ drive: remotes.config('onedrive:cofre') });
  const [[state = '', message = ''] = []] = await examined();
  assert.equal(state, 'fail');
  assert.match(message, /didn't find section in config file/);
});

async function write(destinations: Record<string, object>): Promise<void> {
  const config = here.config();
  await here.write({ ...config, destinations: { ...config['destinations'], ...destinations } });
}

/** What doctor says of the destinations but for the folder. */
async function examined(): Promise<[string, string][]> {
  const { config } = await loadConfig(findConfigPath(here.configPath));
  const checks = await examineDestinations(config, 'here');
  return checks.filter(({ message }) => !message.startsWith('volume')).map(({ state, message }) => [state, message]);
}
