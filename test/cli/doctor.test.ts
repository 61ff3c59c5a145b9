import assert from 'node:assert/strict';
import { chmod, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { examineAll } from '../../cli/doctor.ts';
import type { Check } from '../../cli/doctor/check.ts';
import { cofre } from './command.ts';
import { Installation } from './installation.ts';

let here: Installation;

before(async () => {
  here = await Installation.create();
});
after(async () => {
  await here.remove();
});

async function examine(): Promise<Check[]> {
  return await examineAll({ config: here.configPath });
}

function find(checks: readonly Check[], area: string, message: RegExp): Check | undefined {
  return checks.find((check) => check.area === area && message.test(check.message));
}

describe('cofre doctor', () => {
  test('names what is missing before the first apply, and how to mend it', async () => {
    const checks = await examine();
    assert.equal(find(checks, 'catalog', /no catalog in this database yet/)?.hint, 'cofre apply');
    assert.equal(find(checks, 'Temporal', /search attributes are missing/)?.hint, 'cofre apply registers them');
    assert.equal(find(checks, 'Temporal', /nightly has no schedule/)?.state, 'fail');
    assert.match(find(checks, 'destination', /is empty/)?.hint ?? '', /cofre destination prepare volume/);
    assert.equal(find(checks, 'Temporal', /no worker takes the workflows/)?.state, 'fail');
  });

  test('after apply everything is well but the worker that nobody started', async () => {
    assert.equal((await cofre('apply', '--yes', '--config', here.configPath)).code, 0);
    await chmod(join(here.folder, 'spool'), 0o700);
    const checks = await examine();
    const bad = checks.filter(({ state }) => state === 'fail').map(({ message }) => message);
    assert.deepEqual(bad, ['no worker takes the workflows']);
    assert.equal(find(checks, 'environment acme-prod', /may read all of/)?.state, 'ok');
    assert.equal(find(checks, 'server one', /this machine has its clients/)?.state, 'ok');
  });

  test('a database that is gone and a changed file are said', async () => {
    const config = here.config();
    await here.write({ ...config, environments: { 'acme-prod': here.environment('nothing_here') } });
    const checks = await examine();
    assert.equal(
      find(checks, 'environment acme-prod', /no database nothing_here/)?.hint,
      'cofre ensure acme-prod brings it back from its latest backup',
    );
    assert.equal(find(checks, 'catalog', /the file is another/)?.state, 'warn');
  });

  test('case 132: a secret that others on the machine may read is said, wherever it is named', async () => {
    const config = here.config();
    const files = ['of-a-role', 'of-a-server'].map((name) => join(here.folder, name));
    for (const file of files) await writeFile(file, 'x', { mode: 0o600 });
    const [role, login] = files.map((file) => ({ password: `file:${file}` }));
    const environment = here.environment(here.customerDatabase);
    const { database } = environment as { database: object };
    await here.write({
      ...config,
      servers: {
        ...config['servers'],
        more: { ...(config['servers']?.['one'] as object), port: 1, backup: { user: 'u', ...login } },
      },
      environments: { 'acme-prod': { ...environment, database: { ...database, roles: { postgres: role } } } },
    });
    assert.equal(find(await examine(), 'configuration', /others on this machine may read/), undefined);
    for (const [file, mode] of [
      ['password', 0o644],
      ['of-a-role', 0o640],
      ['of-a-server', 0o604],
    ] as const) {
      const path = join(here.folder, file);
      await chmod(path, mode);
      const found = find(
        await examine(),
        'configuration',
        new RegExp(`others on this machine may read the secret ${path}`),
      );
      assert.deepEqual([found?.state, found?.hint], ['warn', `chmod 600 ${path}`]);
      await chmod(path, 0o600);
    }
    await here.write(config);
  });

  test('a wrong password, a missing secret and a dead server fail with a way out, and the rest is still looked at', async () => {
    const config = here.config();
    await writeFile(join(here.folder, 'wrong'), 'wrong', { mode: 0o600 });
    const [one] = Object.values(config['servers'] ?? {}) as { backup: { user: string }; admin: { user: string } }[];
    const login = { user: one?.admin.user ?? '', password: `file:${join(here.folder, 'wrong')}` };
    const missing = { ...login, password: 'env:COFRE_TEST_NOT_SET' };
    await here.write({
      ...config,
      servers: {
        ...config['servers'],
        wrong: { ...one, admin: login, backup: login },
        unset: { ...one, admin: missing },
        dead: { ...one, port: 1 },
      },
    });
    const checks = await examine();
    assert.match(find(checks, 'server wrong', /refused the login/)?.hint ?? '', /check the user and its secret/);
    assert.match(find(checks, 'server unset', /env:COFRE_TEST_NOT_SET/)?.hint ?? '', /set it/);
    assert.match(find(checks, 'server dead', /failed/)?.hint ?? '', /check that the server runs/);
    assert.equal(find(checks, 'environment acme-prod', /may read all of/)?.state, 'ok');
  });

  test('exit code 1 and JSON for scripts; mistakes in the file are named line by line', async () => {
    await rm(here.configPath);
    await writeFile(here.configPath, 'catalog: 5\nhots: {}\n');
    const { code, stdout } = await cofre('doctor', '--json', '--config', here.configPath);
    assert.equal(code, 1);
    const { healthy, checks } = JSON.parse(stdout) as { healthy: boolean; checks: Check[] };
    assert.equal(healthy, false);
    assert.ok(checks.filter(({ area, state }) => area === 'configuration' && state === 'fail').length >= 2);
  });
});
