import assert from 'node:assert/strict';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';

import { clientFinder, type Clients } from '../../../sources/postgres/clients.ts';
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

const find = (version: number, folders: readonly string[], archiveMadeBy?: string): Promise<Clients> =>
  clientFinder({ unfixed: 'refuse', folders })(version, archiveMadeBy);

test('the clients of the server’s own major version are taken, never newer ones', async (t) => {
  const folders = await foldersOf(t, ['18.7', '16.16', '17.12']);
  const clients = await find(160004, folders);
  assert.deepEqual([clients.major, clients.version], [16, '16.16']);
  assert.match(clients.pgDump, /16\.16\/pg_dump$/);
  await assert.rejects(find(150020, folders), { code: 'tool-version', hint: /postgresql-client-15/ });
});

test('servers 12 and 13 take the oldest fixed clients, and none that begin with a setting they do not know', async (t) => {
  const folders = await foldersOf(t, ['12.22', '13.23', '14.19', '15.20', '18.7']);
  assert.equal((await find(120022, folders)).version, '15.20');
  assert.equal((await find(130023, folders)).version, '15.20');
  await assert.rejects(find(110022, folders), { code: 'tool-version' });
  const tooNew = await foldersOf(t, ['17.12', '18.7']);
  await assert.rejects(find(130023, tooNew), {
    message: /PostgreSQL 13, .*17\.12, 18\.7, which is too new/,
    hint: /client-14/,
  });
});

test('an archive is read by the version that wrote it, or by a newer one that the server understands', async (t) => {
  const folders = await foldersOf(t, ['14.25', '15.20', '16.16', '18.7']);
  assert.equal((await find(130023, folders, '14.25')).version, '14.25');
  assert.equal((await find(130023, folders, '16.16')).version, '16.16');
  assert.equal((await find(140023, folders, '15.20')).version, '15.20', 'dumped from a 13, restored to a 14');
  assert.equal((await find(180004, folders, '15.20')).version, '18.7');
  const old = await foldersOf(t, ['15.20']);
  await assert.rejects(find(130023, old, '16.16'), {
    message: /dump was made by pg_dump 16\.16, .* only pg_dump 15\.20, which is too old/,
    hint: /postgresql-client-16/,
  });
});

test('clients older than the server and none at all are refused', async (t) => {
  const old = await foldersOf(t, ['15.20']);
  await assert.rejects(find(170000, old), { code: 'tool-version', message: /PostgreSQL 17.*15\.20, which is too old/ });
  await assert.rejects(find(150020, ['/nowhere']), { code: 'tool-missing', hint: /postgresql-client-15/ });
});

test('case 8: clients with known holes are refused by name, or used with a warning where the host allows it', async (t) => {
  const folders = await foldersOf(t, ['15.18']);
  await assert.rejects(find(150018, folders), {
    code: 'tool-version',
    message: /15\.18 have known holes .*15\.20 is the first without/,
    hint: /upgrade the package postgresql-client-15 .*unfixedClients: warn/,
  });
  const allowed = clientFinder({ unfixed: 'warn', folders });
  assert.match((await allowed(150018)).warning ?? '', /15\.18 have known holes/);
  await assert.rejects(allowed(160000), { code: 'tool-version', message: /too old/ });
  const both = clientFinder({ unfixed: 'warn', folders: [...folders, ...(await foldersOf(t, ['15.20']))] });
  assert.deepEqual([(await both(150018)).version, (await both(150018)).warning], ['15.20', null]);
});
