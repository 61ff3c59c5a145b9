import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { recordedServer, recordServer } from '../../catalog/servers.ts';
import { cofre } from './command.ts';
import { Installation } from './installation.ts';

let here: Installation;

before(async () => {
  here = await Installation.create();
  assert.equal((await cofre('apply', '--yes', '--config', here.configPath)).code, 0);
});
after(async () => {
  await here.remove();
});

describe('cofre accept', () => {
  test('shows both servers, needs a yes, and records who said it', async () => {
    const catalog = await here.openCatalog();
    await recordServer(catalog, 'acme-prod', { systemIdentifier: '1', server: 'old', version: '14.1' });
    const unasked = await cofre('accept', 'acme-prod', '--config', here.configPath);
    assert.equal(unasked.code, 2, 'without a terminal and without --yes nobody said yes');
    assert.match(unasked.stderr, /recorded +old +1 +14\.1/);
    assert.equal((await recordedServer(catalog, 'acme-prod'))?.systemIdentifier, '1');
    assert.equal((await cofre('accept', 'acme-prod', '--yes', '--config', here.configPath)).code, 0);
    const recorded = await recordedServer(catalog, 'acme-prod');
    assert.notEqual(recorded?.systemIdentifier, '1');
    assert.match(recorded?.acceptedBy ?? '', /@/);
    assert.match((await cofre('accept', 'acme-prod', '--yes', '--config', here.configPath)).stderr, /nothing to do/);
  });
});
