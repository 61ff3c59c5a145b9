import assert from 'node:assert/strict';
import { chmod, mkdir, readdir, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { resolveSecret } from '../../../config/secret.ts';
import { withClient, type PostgresTarget } from '../../../postgres/connect.ts';
import { captureTool } from '../../../processes/tool.ts';
import { findClients, type Clients } from '../../../sources/postgres/clients.ts';
import { readServerFacts } from '../../../sources/postgres/facts.ts';
import { ensureRoles } from '../../../sources/postgres/roles.ts';
import { withToolEnvironment } from '../../../sources/postgres/tool-environment.ts';
import { admin, Bench } from './restore-fixture.ts';

describe('passwords', () => {
  let bench: Bench;
  let clients: Clients;
  before(async () => {
    bench = await Bench.open();
    clients = await findClients((await withClient(admin, readServerFacts)).versionNumber);
  });
  after(() => bench.close());

  /** From the secret's file to a login by `pg` and by PostgreSQL's own tools, as a restore and a dump do it. */
  async function logIn(user: string, content: string, scratch: string): Promise<void> {
    const file = join(bench.folder, 'secret');
    await writeFile(file, content, { mode: 0o600 });
    const password = await resolveSecret(`file:${file}`);
    await ensureRoles({ admin, database: 'x', owner: user, roles: [{ name: user, password }], trusted: false }, null);
    const target: PostgresTarget = { ...admin, user, password };
    const { rows } = await withClient(target, (client) => client.query<{ me: string }>('SELECT current_user AS me'));
    assert.equal(rows[0]?.me, user);
    const dumped = await withToolEnvironment(target, scratch, (env) =>
      captureTool({
        name: 'pg_dump',
        path: clients.pgDump,
        args: ['--schema-only', '--no-password', '--exclude-schema=*'],
        env,
      }),
    );
    assert.match(dumped, /PostgreSQL database dump complete/);
  }

  const passwords = [
    ...['%zz', 'a/b', 'a#b', '#a', 'a@b', 'a:b', ':', 'a\\b', '\\', "a'b", 'a"b', 'a b', '  a  ', 'a\tb', '*', '-x'],
    ...['$(id)`id`', 'a=b;c&d?e', 'ção 日本 🔑', 'ﬁ ª º \u00a0x', 'x'.repeat(200), '%s%n{{a}}${b}'],
  ];
  for (const [index, password] of passwords.entries()) {
    test(`case 97: ${JSON.stringify(password.slice(0, 20))} logs in everywhere`, async () => {
      await logIn(bench.role(`senha${index}`), `${password}\n`, join(bench.folder, 'scratch'));
    });
  }

  test('case 98: a user with : and \\ in its name logs in by the password file', async () => {
    await logIn(bench.role('a:b\\c*d'), 'x:\\y\r\n', join(bench.folder, 'scratch'));
  });

  test('case 98: whatever the umask is, the password file is for its owner alone, and is gone with the tool', async (t) => {
    const scratch = join(bench.folder, 'new', 'scratch');
    const umask = process.umask(0);
    t.after(() => process.umask(umask));
    await withToolEnvironment(admin, scratch, async ({ PGPASSFILE }) => {
      const [folder] = await readdir(scratch);
      assert.equal((await stat(PGPASSFILE ?? '')).mode & 0o777, 0o600);
      for (const path of [scratch, join(scratch, folder ?? '')]) assert.equal((await stat(path)).mode & 0o777, 0o700);
    });
    assert.deepEqual(await readdir(scratch), []);
  });

  test('case 98: no password is written to a folder that others reach', async () => {
    const scratch = join(bench.folder, 'open');
    const refused = (message: RegExp): Promise<void> =>
      assert.rejects(
        withToolEnvironment(admin, scratch, () => Promise.resolve()),
        { code: 'access-denied', message, hint: /chmod 700/ },
      );
    await mkdir(scratch);
    for (const mode of [0o770, 0o701, 0o750]) {
      await chmod(scratch, mode);
      await refused(new RegExp(`is open to others \\(mode ${mode.toString(8)}\\), and passwords are kept there`));
    }
    await chmod(scratch, 0o700);
    assert.deepEqual(await readdir(scratch), []);
    await withToolEnvironment(admin, scratch, () => Promise.resolve());
  });

  test('case 98: nor through a link', async () => {
    const elsewhere = join(bench.folder, 'elsewhere');
    const link = join(bench.folder, 'link');
    await mkdir(elsewhere, { mode: 0o700 });
    await symlink(elsewhere, link);
    await assert.rejects(
      withToolEnvironment(admin, link, () => Promise.resolve()),
      { code: 'access-denied', message: /something else, such as a link/ },
    );
    assert.deepEqual(await readdir(elsewhere), []);
  });
});
