import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import type { BackupSummary } from '../../catalog/backup-list.ts';
import type { SftpConfig } from '../../config/destination-schema.ts';
import { withClient } from '../../postgres/connect.ts';
import { CONTROL_QUEUE } from '../../workflows/queues.ts';
import { SshServer } from '../ssh-server.ts';
import { Installation } from './installation.ts';

interface RunResult {
  state: string;
  backupId: string;
  error?: { code: string; message: string };
}

describe('an installation that keeps its second copy on an SFTP server', () => {
  let server: SshServer;
  let root: string;
  let offsite: SftpConfig;
  let installation: Installation;
  let backupId: string;

  before(async () => {
    server = await SshServer.start();
    root = await server.root('backups');
    offsite = server.config(root);
    installation = await Installation.create([{ id: 'kept' }], {}, (config) => {
      (config['destinations'] as Record<string, object>)['offsite'] = offsite;
      const policies = config['policies'] as Record<string, object>;
      policies['staged'] = { ...policies['staged'], copies: { to: ['volume', 'offsite'] } };
    });
    const sql = `CREATE TABLE public.t AS SELECT g AS id, md5(g::text) AS body FROM generate_series(1, 20000) g`;
    await installation.createEnvironmentDatabase('kept', sql);
    await installation.startWorker();
  });

  after(async () => {
    await installation.remove();
    await server.remove();
  });

  it('apply has prepared the folder, and doctor finds it', async () => {
    assert.deepEqual(await readdir(root), ['cofre.json']);
    const { stdout, stderr } = await installation.cofre(['doctor']);
    assert.match(stdout + stderr, /offsite: the folder .*backups on 127\.0\.0\.1 is there/);
    const again = await installation.cofre(['destination', 'prepare', 'offsite', '--yes']);
    assert.equal(again.code, 0);
    assert.match(again.stderr + again.stdout, /was prepared already/);
  });

  it('a backup is complete with a verified copy in each place, of the same bytes', async () => {
    const run = await installation.json<RunResult>(['backup', 'kept']);
    assert.equal(run.state, 'complete', JSON.stringify(run));
    backupId = run.backupId;
    const [backup] = await installation.json<BackupSummary[]>(['backups', 'kept']);
    assert.deepEqual(
      backup?.copies.map(({ destination, state }) => [destination, state]),
      [
        ['offsite', 'verified'],
        ['volume', 'verified'],
      ],
    );
    const below = join('kept', backupId);
    const names = (await readdir(join(root, below), { recursive: true })).sort();
    assert.deepEqual(names, (await readdir(join(installation.backups, below), { recursive: true })).sort());
    const manifest = await readFile(join(root, below, 'manifest.json'));
    assert.ok(manifest.equals(await readFile(join(installation.backups, below, 'manifest.json'))));
  });

  it('show tells where the copy is, and its commands fetch it with the stock client', async () => {
    const shown = await installation.cofre(['show', backupId]);
    assert.match(
      shown.stdout,
      new RegExp(`copy +offsite: verified at .*sftp://.*@127\\.0\\.0\\.1:${server.port}${root}/kept`),
    );
    const { stdout } = await installation.cofre(['show', backupId, '--commands']);
    const line = stdout.split('\n').find((one) => one.startsWith('sftp ')) ?? '';
    const login = `sftp -i ${join(server.folder, 'user_key')} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -q`;
    execFileSync('sh', ['-c', line.replace('sftp', login)], { cwd: installation.folder, stdio: 'ignore' });
    const archive = await readFile(join(installation.folder, 'archive'));
    assert.ok(stdout.includes(`${createHash('sha256').update(archive).digest('hex')}  archive`));
  });

  it('with the volume gone, a restore takes the copy of the server', async () => {
    await rename(installation.backups, `${installation.backups}.away`);
    await installation.dropDatabase('kept');
    const args = ['restore', '--from', 'kept', '--backup', backupId, '--to', 'kept', '--yes'];
    const run = await installation.json<RunResult>(args);
    assert.equal(run.state, 'restored', JSON.stringify(run));
    const { rows } = await withClient(installation.target('kept'), (client) =>
      client.query<{ n: string; sum: string }>('SELECT count(*) AS n, sum(id) AS sum FROM public.t'),
    );
    assert.deepEqual(rows, [{ n: '20000', sum: '200010000' }]);
    await rename(`${installation.backups}.away`, installation.backups);
  });

  it('case 40: a server with another host key gets nothing, and the debt of the backup says why', async () => {
    await server.stop();
    for (const file of ['host_key', 'host_key.pub'])
      await rename(join(server.folder, file), join(server.folder, `old_${file}`));
    server.makeKey('host_key');
    await server.run();
    const client = await installation.client();
    const run = await client.workflow.start('backupDatabase', {
      taskQueue: CONTROL_QUEUE,
      workflowId: 'backupDatabase/kept/other-key',
      args: [{ environment: 'kept', endsAt: new Date(Date.now() + 10_000).toISOString() }],
    });
    const result = (await run.result()) as RunResult;
    await client.connection.close();
    assert.equal(result.state, 'incomplete');
    const shown = await installation.cofre(['show', result.backupId]);
    assert.match(shown.stdout, /offsite: missing/);
    assert.match(shown.stdout, /access-denied: .*host key SHA256:.*SHA256:.* is pinned/);
    const doctor = await installation.cofre(['doctor']);
    assert.match(doctor.stdout + doctor.stderr, /is pinned/);
    const status = await installation.cofre(['status', 'kept']);
    assert.match(status.stdout, /1 copy is missing, damaged or not proven yet/);
    assert.deepEqual(await readdir(join(root, 'kept')), [backupId]);
  });
});
