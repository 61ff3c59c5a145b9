import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, describe, it } from 'node:test';

import { stringify } from 'yaml';

import { compareFingerprints, fingerprintDatabase, type Fingerprint } from '../../demo/compare-databases.ts';
import { withClient } from '../../postgres/connect.ts';
import { freeLowPort } from '../../tools/free-port.ts';
import { S3Server } from '../s3-server.ts';
import { testServers } from '../servers.ts';
import { SshServer } from '../ssh-server.ts';
import { SmallDisk } from '../small-disk.ts';
import { until } from '../until.ts';
import { isLong } from '../long.ts';
import { HeldRestore } from './held-restore.ts';
import { Installation, type CommandResult } from './installation.ts';

const COFRE = fileURLToPath(new URL('../../cli/cofre.js', import.meta.url));
const DAMAGED = '20990101T000000Z-00000000';
const FOREIGN = '20980101T000000Z-00000000';

describe('when all is lost: a restore with a configuration file and a destination alone', () => {
  let installation: Installation;
  let bucket: S3Server;
  let offsite: SshServer;
  let held: HeldRestore;
  let fingerprint: Fingerprint;
  /** A machine that has nothing but the file. */
  let fresh: string;
  let [whole, emptied] = ['', ''];

  before(async () => {
    [bucket, offsite] = [await S3Server.start(), await SshServer.start()];
    const places = { bucket: await bucket.bucket(), offsite: offsite.config(await offsite.root('backups')) };
    installation = await Installation.create([{ id: 'shop' }, { id: 'other' }], {}, (config) => {
      Object.assign(config['destinations'] as object, places);
      const policies = config['policies'] as Record<string, object>;
      policies['staged'] = { ...policies['staged'], copies: { to: ['volume', 'bucket', 'offsite'] } };
      Object.assign((config['environments'] as Record<string, object>)['other'] ?? {}, { customer: 'rival' });
    });
    const client = await installation.client();
    held = new HeldRestore(installation, 'shop', client);
    await installation.createEnvironmentDatabase('shop', held.sourceSql(2_000));
    fingerprint = await fingerprintDatabase(installation.target('shop'));
    const worker = await installation.startWorker();
    whole = await backUp();
    await held.sql('DELETE FROM public.venda WHERE id > 10', held.live);
    emptied = await backUp();
    await installation.endWorker(worker, 'SIGKILL');
    await client.connection.close();
    await withClient(installation.admin, (admin) =>
      admin.query(`DROP DATABASE "${installation.catalog.database}" WITH (FORCE)`),
    );
    // What is not whole, under the newest name of all.
    const damaged = join(installation.backups, 'shop', DAMAGED);
    await mkdir(damaged);
    await writeFile(join(damaged, 'manifest.json'), '{"format": 1');

    fresh = await mkdtemp(join(tmpdir(), 'cofre-fresh-'));
    await writeConfig('cofre.yaml');
  });

  after(async () => {
    await installation.remove();
    await bucket.stop();
    await offsite.remove();
    await rm(fresh, { recursive: true, force: true });
  });

  async function backUp(): Promise<string> {
    const made = await installation.json<{ state: string; backupId: string }>(['backup', 'shop']);
    assert.equal(made.state, 'complete', JSON.stringify(made));
    return made.backupId;
  }

  async function writeConfig(name: string, change: object = {}): Promise<string> {
    const nobody = { address: `127.0.0.1:${await freeLowPort()}` };
    const hosts = { h1: { spool: join(fresh, 'spool'), keepFree: '1%' } };
    const path = join(fresh, name);
    await writeFile(path, stringify({ ...installation.config, temporal: nobody, hosts, ...change }));
    return path;
  }

  function start(...args: string[]): ChildProcess & { said: () => string } {
    const { PATH = '', COFRE_TEST_S3_ID = '', COFRE_TEST_S3_SECRET = '' } = process.env;
    const child = spawn(process.execPath, [COFRE, 'restore', '--standalone', ...args], {
      cwd: fresh,
      env: { PATH, HOME: fresh, COFRE_TEST_S3_ID, COFRE_TEST_S3_SECRET },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
    return Object.assign(child, { said: () => said });
  }

  async function restore(...args: string[]): Promise<CommandResult> {
    const child = start(...args);
    let stdout = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, stdout, stderr: child.said() };
  }

  async function refused(code: number, message: RegExp, ...args: string[]): Promise<void> {
    const { code: exit, stderr } = await restore(...args);
    assert.match(stderr, message);
    assert.equal(exit, code, stderr);
  }

  const scratch = async (): Promise<string[]> => await readdir(join(fresh, 'spool', '.standalone')).catch(() => []);

  async function untilLoading(child: ReturnType<typeof start>): Promise<void> {
    await until('it loads', async () => {
      assert.equal(child.exitCode, null, child.said());
      return (await held.loading()).length > 0;
    });
  }

  async function leftOnServer(): Promise<unknown[]> {
    return await held.sql(
      `SELECT datname AS name FROM pg_database WHERE datname LIKE '${held.live}\\_\\_restore\\_%'
       UNION ALL SELECT rolname FROM pg_roles r WHERE rolname LIKE 'cofre\\_restore\\_%'
         AND EXISTS (SELECT FROM pg_database WHERE datdba = r.oid AND datname LIKE '${installation.id}\\_%')`,
    );
  }

  it('what cannot be is said before anything is served, with what there is', async () => {
    const to = ['--to', 'shop'];
    const none = new RegExp(`volume has no backup 2020\\S+ of shop\\n.*it has: ${DAMAGED}, ${emptied}, ${whole};`);
    const damaged = new RegExp(`shop/${DAMAGED}/manifest.json in volume is not taken: .*not JSON`);
    const small = await SmallDisk.mount('8m');
    const elsewhere = await writeConfig('elsewhere.yaml', {
      servers: { pg: { ...(installation.config['servers'] as { pg: object }).pg, port: await freeLowPort() } },
    });
    await Promise.all([
      refused(2, /no destination "nowhere"\n.*known: volume, bucket, offsite/, 'nowhere:latest', ...to),
      refused(2, /no environment "shopp"\n.*did you mean shop\?/, 'volume:latest', '--to', 'shopp'),
      refused(2, /--to is missing/, 'volume:latest'),
      refused(3, none, 'volume:20200101T000000Z-00000000', ...to),
      refused(1, damaged, `volume:${DAMAGED}`, ...to),
      refused(2, /--folder is empty/, 'volume:latest', ...to, '--folder', ''),
      refused(1, /folder \/proc\/nowhere\S* cannot be made/, 'volume:latest', ...to, '--folder', '/proc/nowhere'),
      refused(
        1,
        /needs about 100 MB in \S+, and there are .*\n.*--folder DIR/,
        'volume:latest',
        ...to,
        '--folder',
        small.path,
      ),
      refused(1, /the server 127\.0\.0\.1:\d+ failed/, 'volume:latest', ...to, '--config', elsewhere),
    ]);
    assert.deepEqual([await scratch(), await readdir(small.path)], [[], []]);
    await small.unmount();
  });

  it("one customer's data do not go into another's environment, by whatever name", async () => {
    const stranger = /data of shop do not go into other: they are of another customer/;
    await Promise.all([
      refused(3, stranger, `volume:${whole}`, '--to', 'other', '--yes'),
      refused(3, stranger, `volume:shop/${whole}`, '--to', 'other', '--yes'),
      refused(3, /volume has no backup of other\n.*backups of: shop/, 'volume:latest', '--to', 'other', '--yes'),
    ]);
    await cp(join(installation.backups, 'shop', whole), join(installation.backups, 'other', whole), {
      recursive: true,
    });
    const copied = new RegExp(`not taken: its manifest is that of shop/${whole}/`);
    await refused(3, copied, `volume:${whole}`, '--to', 'other', '--yes');
    assert.equal(await installation.databaseExists('other'), false);
  });

  it('killed in the middle it leaves the live database as it was, says where the rest is, and the next call succeeds', async () => {
    const release = await held.holdLoad();
    const killed = start('volume:latest', '--to', 'shop', '--yes');
    const ended = once(killed, 'close');
    try {
      await untilLoading(killed);
      const [folder = ''] = await scratch();
      const path = join(fresh, 'spool', '.standalone', folder);
      assert.match(killed.said(), new RegExp(`works in ${path};`));
      assert.equal((await stat(path)).mode & 0o777, 0o700);
      await assertNoSecretIn(path);
    } finally {
      killed.kill('SIGKILL');
      await ended;
      await release();
    }
    assert.deepEqual(await held.liveRows(), [10]);
    assert.equal((await leftOnServer()).length > 0, true);

    // What somebody copied by hand blocks nothing else.
    const foreign = join(installation.backups, 'shop', FOREIGN);
    await cp(join(installation.backups, 'shop', whole), foreign, { recursive: true });
    const { code, stdout, stderr } = await restore('volume:latest', '--to', 'shop', '--yes', '--json');
    assert.equal(code, 0, stderr);
    assert.match(stderr, /removed the database \S+__restore_\S+, left by a call that was killed/);
    assert.match(stderr, new RegExp(`found in volume: the backup ${whole} of shop`));
    assert.match(stderr, new RegExp(`passed over ${DAMAGED}: .*not JSON`));
    assert.match(stderr, new RegExp(`passed over ${FOREIGN}: .*its manifest is that of shop/${whole}/`));
    await rm(foreign, { recursive: true });
    assert.match(stderr, new RegExp(`passed over ${emptied}: anomalous: `));
    assert.match(stderr, /replaces +the database \S+; it is kept, closed, until you drop it/);
    const { state, backupId } = JSON.parse(stdout) as { state: string; backupId: string };
    assert.deepEqual([state, backupId], ['restored', whole]);
    assert.deepEqual(compareFingerprints(fingerprint, await fingerprintDatabase(installation.target('shop'))), []);
    const old = /kept as (\S+), closed, and nothing removes it.*: DROP DATABASE "\1"/.exec(stderr)?.[1];
    assert.equal((await held.sql(`SELECT FROM pg_database WHERE datname = '${old}' AND NOT datallowconn`)).length, 1);
    assert.match(stderr, /no catalog has recorded this restore/);
    assert.deepEqual([await leftOnServer(), await scratch()], [[], []]);
  });

  it('an archive that is damaged is refused with what else there is, and the live database stays', async () => {
    const path = join(installation.backups, 'shop', emptied);
    const [archive = ''] = (await readdir(path, { recursive: true })).filter((name) => name.endsWith('.tar'));
    const bytes = await readFile(join(path, archive));
    await writeFile(join(path, archive), bytes.with(bytes.length >> 1, ~(bytes[bytes.length >> 1] ?? 0) & 0xff));
    const other = `another destination may have ${emptied} whole, or take another backup: volume:${whole}`;
    await refused(1, new RegExp(other), `volume:${emptied}`, '--to', 'shop', '--yes');
    await writeFile(join(path, archive), bytes);
    assert.deepEqual([await held.liveRows(), await leftOnServer(), await scratch()], [[2_000], [], []]);
  });

  if (!isLong) return;

  for (const place of ['bucket', 'offsite']) {
    it(`brings back a database that is gone, from a destination over the network: ${place}`, async () => {
      await installation.dropDatabase('shop');
      const { code, stderr } = await restore(`${place}:shop/${whole}`, '--to', 'shop', '--yes');
      assert.equal(code, 0, stderr);
      assert.match(stderr, /replaces +nothing: the database does not exist/);
      assert.deepEqual(compareFingerprints(fingerprint, await fingerprintDatabase(installation.target('shop'))), []);
    });
  }

  it('Ctrl-C in the middle leaves nothing anywhere', async () => {
    const release = await held.holdLoad();
    const stopped = start(`bucket:${whole}`, '--to', 'shop', '--yes');
    const ended = once(stopped, 'close');
    try {
      await untilLoading(stopped);
      stopped.kill('SIGINT');
      assert.deepEqual((await ended)[0], 130, stopped.said());
    } finally {
      stopped.kill('SIGKILL');
      await release();
    }
    assert.deepEqual([await leftOnServer(), await scratch(), await held.liveRows()], [[], [], [2_000]]);
  });

  it('without a terminal and without --yes it shows the plan and does nothing', async () => {
    const { code, stderr } = await restore(`volume:${emptied}`, '--to', 'shop');
    assert.equal(code, 2, stderr);
    assert.match(
      stderr,
      new RegExp(`anomalous: it has 11 rows.*\\n[\\s\\S]*the plan:\\n[\\s\\S]* ${emptied}, data of`),
    );
    assert.match(stderr, /needs an answer, and there is no terminal/);
    assert.deepEqual([await scratch(), await held.liveRows()], [[], [2_000]]);
  });

  /** Neither of the server, nor of the catalog that is served for it: in what it writes and in what it starts. */
  async function assertNoSecretIn(path: string): Promise<void> {
    const own = (await readFile(join(path, 'catalog.password'), 'utf8')).trim();
    const secrets = [own, testServers().postgres.password, bucket.secretAccessKey];
    const texts = [await readFile(join(path, 'cofre.yaml'), 'utf8')];
    for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name)))
      texts.push(await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''));
    for (const secret of secrets)
      assert.equal(
        texts.some((text) => text.includes(secret)),
        false,
      );
  }
});
