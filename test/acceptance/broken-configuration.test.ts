import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { withClient } from '../../postgres/connect.ts';
import { Installation } from './installation.ts';

describe('a configuration that somebody broke', () => {
  let installation: Installation;
  let file: string;
  let good: string;
  let worker: ChildProcess;

  before(async () => {
    installation = await Installation.create([{ id: 'acme' }]);
    await installation.createEnvironmentDatabase('acme', 'CREATE TABLE public.t AS SELECT 1 AS id');
    worker = await installation.startWorker();
    file = join(installation.folder, 'cofre.yaml');
    good = await readFile(file, 'utf8');
  });

  after(async () => await installation.remove());

  async function versions(): Promise<unknown[]> {
    const target = { ...installation.admin, database: installation.database('catalog') };
    const { rows } = await withClient(target, (client) =>
      client.query('SELECT version, digest FROM cofre.configurations'),
    );
    return rows as unknown[];
  }

  for (const [what, piece, by, message] of [
    ['an unknown key', '    stage: production\n', '    stage: production\n    stag: x\n', /acme\.stag: unknown field/],
    ['a number below zero', 'heavy: 2\n', 'heavy: -2\n', /hosts\.h1\.heavy: must be at least 1/],
    ['a secret that is written into it', 'password: file:', 'password: hunter2', /must be a reference to the secret/],
    ['no YAML at all', 'servers:\n', 'servers: [\n', /not valid YAML/],
  ] as const) {
    it(`case 129: ${what}: apply says where, and the version applied before goes on`, async () => {
      const before = await versions();
      // Only what it takes from the applied version: where the catalog is stays as it was.
      const at = good.indexOf(piece, good.indexOf('hosts:'));
      assert.notEqual(at, -1, piece);
      await writeFile(file, good.slice(0, at) + by + good.slice(at + piece.length));
      const applied = await installation.cofre(['apply', '--yes']);
      assert.equal(applied.code, 2, applied.stderr);
      assert.match(applied.stderr, message);
      assert.match(applied.stderr, /cofre\.yaml:\d+:\d+/);
      assert.doesNotMatch(applied.stderr, /hunter2/);
      assert.deepEqual(await versions(), before);
      // A file that is no YAML says not even where the catalog is; the worker that runs needs no file.
      if (what === 'no YAML at all') await writeFile(file, good);
      const status = await installation.cofre(['status']);
      assert.equal(status.code, 0, status.stderr);
      assert.match(status.stdout, /acme/);
      const backup = await installation.json<{ state: string; backupId: string }>(['backup', 'acme']);
      assert.equal(backup.state, 'complete', JSON.stringify(backup));
    });
  }

  it('case 129: a worker that starts anew works by the version applied before, too', async () => {
    await writeFile(file, good.replace('heavy: 2\n', 'heavy: -2\n'));
    await installation.endWorker(worker, 'SIGTERM');
    await installation.startWorker();
    const backup = await installation.json<{ state: string }>(['backup', 'acme']);
    assert.equal(backup.state, 'complete', JSON.stringify(backup));
  });
});
