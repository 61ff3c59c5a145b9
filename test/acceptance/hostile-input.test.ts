import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import type { Client } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';

import { CONTROL_QUEUE } from '../../workflows/queues.ts';
import { Installation } from './installation.ts';

const LONG = 'a'.repeat(2000);
/** Names that would be something else as a path, a key, a search attribute or a text in the catalog. */
const NAMES = [
  '../x',
  '..',
  '%2e%2e',
  '%2e%2e/x',
  'a\0',
  LONG,
  'acme/../acme',
  '/etc',
  'acmé',
  'acme\u202e',
  'ａcme',
  'A',
  ' ',
];

describe('what somebody types into the form of the Temporal UI', () => {
  let installation: Installation;
  let client: Client;

  before(async () => {
    installation = await Installation.create([{ id: 'acme' }, { id: 'other' }]);
    await installation.createEnvironmentDatabase('acme', 'CREATE TABLE public.t AS SELECT 1 AS id');
    await installation.startWorker();
    client = await installation.client();
  });

  after(async () => {
    await client.connection.close();
    await installation.remove();
  });

  async function failureOf(workflow: string, input: unknown): Promise<ApplicationFailure> {
    const handle = await client.workflow.start(workflow, {
      taskQueue: CONTROL_QUEUE,
      workflowId: randomUUID(),
      args: [input],
    });
    try {
      await handle.result();
    } catch (error) {
      const { cause } = error as { cause?: unknown };
      assert.ok(cause instanceof ApplicationFailure, String(error));
      return cause;
    }
    throw new Error(`${workflow} took ${JSON.stringify(input)}`);
  }

  it('case 101: no field takes a name that could be a path', async () => {
    const fields: readonly [workflow: string, input: (name: string) => object][] = [
      ['backupDatabase', (name) => ({ environment: name })],
      ['backupDatabase', (name) => ({ environment: 'acme', to: [name] })],
      ['backupDatabase', (name) => ({ environment: 'acme', routine: name })],
      ['restoreDatabase', (name) => ({ backup: name, to: 'acme' })],
      ['restoreDatabase', (name) => ({ backup: `20261120T210000Z-1f3a9c04/${name}`, to: 'acme' })],
      ['restoreDatabase', (name) => ({ file: '/tmp/x', to: name })],
      ['ensureDatabase', (name) => ({ environment: name })],
      ['runRoutine', (name) => ({ routine: name })],
    ];
    await Promise.all(
      fields.map(async ([workflow, input]) => {
        for (const name of NAMES) {
          const { type, message } = await failureOf(workflow, input(name));
          assert.equal(type, 'bad-input', `${workflow} ${JSON.stringify(input(name)).slice(0, 80)}: ${message}`);
          assert.match(message, /must be (a|the) /);
          assert.ok(message.length < 300, 'it repeats what was typed');
        }
      }),
    );
    assert.deepEqual(await readdir(installation.backups), ['cofre.json']);
    assert.deepEqual(await readdir(installation.spool), ['.run']);
  });

  it('case 101: nor a path or a time that is none', async () => {
    for (const file of ['dump.gz', '../dump.gz', '/tmp/../etc/passwd', '/tmp/a\0', `/${LONG}`, '/tmp/a\nb']) {
      const { type, message } = await failureOf('restoreDatabase', { file, to: 'acme' });
      assert.equal(type, 'bad-input', message);
      assert.match(message, /"file" must be an absolute path/);
    }
    for (const endsAt of ['!', '0', 'tomorrow', '2026-11-20']) {
      assert.equal((await failureOf('backupDatabase', { environment: 'acme', endsAt })).type, 'bad-input');
    }
  });

  it('case 101: what is a name, and of nothing, is not known', async () => {
    for (const [workflow, input] of [
      ['backupDatabase', { environment: 'constructor' }],
      ['backupDatabase', { environment: 'acme', to: ['constructor'] }],
      ['runRoutine', { routine: 'constructor' }],
      ['restoreDatabase', { backup: '20261120T210000Z-1f3a9c04', to: 'acme' }],
    ] as const) {
      assert.equal((await failureOf(workflow, input)).type, 'not-known', JSON.stringify(input));
    }
  });

  it('case 101: the command line takes no other names either', async () => {
    const name = '../x';
    const commands = [
      ...[LONG, '%2e%2e', 'acme\u202e'].map((one) => ['backup', one]),
      ...['backup', 'ensure', 'accept', 'backups', 'show', 'run'].map((command) => [command, name]),
      ['restore', '--from', name, '--to', name, '--yes'],
      ['restore', '--backup', name, '--to', 'acme', '--yes'],
    ];
    for (const args of commands) {
      const { code, stderr } = await installation.cofre(args);
      assert.equal(code, 2, `${args.join(' ')}: ${stderr}`);
    }
  });

  describe('a dump by its path', () => {
    const restore = async (file: string): Promise<ApplicationFailure> =>
      await failureOf('restoreDatabase', { file, to: 'other' });

    it('case 101: is a regular file, wherever a link to it leads', async () => {
      const folder = join(installation.folder, 'old-jobs');
      await mkdir(folder);
      execFileSync('mkfifo', [join(folder, 'pipe')]);
      await symlink('/etc/passwd', join(folder, 'passwd'));
      await symlink('loop', join(folder, 'loop'));
      for (const name of ['', 'pipe', 'loop', 'nothing'])
        assert.equal((await restore(join(folder, name))).type, 'not-found');
      assert.equal((await restore('/dev/zero')).type, 'not-found');
      const { type, message } = await restore(join(folder, 'passwd'));
      assert.equal(type, 'bad-content');
      assert.doesNotMatch(message, /root/);
    });

    it('case 101: is none of Cofre’s own backups, which belong to one environment', async () => {
      const { backupId } = await installation.json<{ backupId: string }>(['backup', 'acme']);
      const folder = join(installation.backups, 'acme', backupId);
      const [attempt = ''] = await readdir(folder);
      const file = join(folder, attempt, 'database.tar');
      const link = join(installation.folder, 'link');
      await symlink(installation.backups, link);
      for (const path of [file, join(folder, 'manifest.json'), file.replace(installation.backups, link)]) {
        const { type, message } = await restore(path);
        assert.equal(type, 'refused', message);
        assert.ok(message.includes(`belongs to the backup ${backupId} in the destination volume`), message);
      }
    });

    it('case 101: and nothing that lies in the spool', async () => {
      await mkdir(join(installation.spool, 'acme', 'x'), { recursive: true });
      const file = join(installation.spool, 'acme', 'x', 'raw.dump');
      await writeFile(file, 'PGDMP');
      assert.match((await restore(file)).message, /lies in the spool/);
    });
  });
});
