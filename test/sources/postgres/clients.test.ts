import assert from 'node:assert/strict';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';

import { findClients } from '../../../sources/postgres/clients.ts';
import { makeFolder } from './nasty-database.ts';

/** Folders of programs that only say their version. */
async function foldersOf(t: TestContext, versions: readonly string[]): Promise<string[]> {
  const folder = await makeFolder(t);
  return Promise.all(
    versions.map(async (version) => {
      await mkdir(join(folder, version));
      for (const name of ['pg_dump', 'pg_restore']) {
        const path = join(folder, version, name);
        await writeFile(path, `#!/bin/sh\necho "${name} (PostgreSQL) ${version} (Debian ${version}-0+deb12u1)"\n`);
        await chmod(path, 0o755);
      }
      return join(folder, version);
    }),
  );
}

test('the clients of the server’s own major version are taken, never newer ones', async (t) => {
  const folders = await foldersOf(t, ['18.7', '16.16', '17.12']);
  const clients = await findClients(160004, folders);
  assert.deepEqual([clients.major, clients.version], [16, '16.16']);
  assert.match(clients.pgDump, /16\.16\/pg_dump$/);
  await assert.rejects(findClients(150020, folders), { code: 'tool-version', hint: /postgresql-client-15/ });
});

test('servers 12 and 13 take the oldest fixed clients', async (t) => {
  const folders = await foldersOf(t, ['12.22', '13.23', '14.19', '15.20', '18.7']);
  assert.equal((await findClients(120022, folders)).version, '15.20');
  assert.equal((await findClients(130023, folders)).version, '15.20');
  await assert.rejects(findClients(110022, folders), { code: 'tool-version' });
});

test('clients with known holes, clients older than the server and none at all are refused', async (t) => {
  const old = await foldersOf(t, ['15.18']);
  await assert.rejects(findClients(150018, old), { code: 'tool-version', message: /15\.18.*15\.20/ });
  await assert.rejects(findClients(170000, old), { code: 'tool-version', message: /PostgreSQL 17.*15\.18/ });
  await assert.rejects(findClients(150020, ['/nowhere']), { code: 'tool-missing', hint: /postgresql-client-15/ });
});
