import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { stringify } from 'yaml';

import { RunningCommand } from '../cli/command.ts';
import { until } from '../until.ts';
import { holdTable } from './hold-table.ts';
import { Installation } from './installation.ts';
import { dumpsOf } from './running-tools.ts';

describe('a configuration with the right catalog and another Temporal namespace', () => {
  const other = ['--config', 'other.yaml'];
  let installation: Installation;
  let release: () => Promise<void>;
  let workflowId: string;

  before(async () => {
    const nightly = { at: '04:00', timezone: 'UTC', run: 'backupDatabase' };
    installation = await Installation.create([{ id: 'one' }], { nightly });
    await installation.createEnvironmentDatabase('one', 'CREATE TABLE public.t AS SELECT 1 AS id');
    await installation.startWorker();
    await installation.createNamespace(`${installation.id}-other`);
    const temporal = { address: installation.temporalAddress, namespace: `${installation.id}-other` };
    await writeFile(join(installation.folder, 'other.yaml'), stringify({ ...installation.config, temporal }));
    release = await holdTable(installation.target('one'), 'public.t');
    ({ workflowId } = await installation.json<{ workflowId: string }>(['backup', 'one', '--no-follow']));
    await until('the dump is under way', () => dumpsOf(installation, 'one').length > 0);
  });

  after(() => installation.remove());

  async function states(): Promise<string[]> {
    return (await installation.json<{ state: string }[]>(['backups'])).map(({ state }) => state);
  }

  it('its worker waits, `doctor` names both, `apply --yes` shows the plan and is refused: what runs goes on', async () => {
    const named = new RegExp(`namespace ${installation.id}-other \\(\\S+\\), .* belongs to ${installation.id} \\(`);
    const worker = new RunningCommand(['worker', '--config', join(installation.folder, 'other.yaml')]);
    await worker.says(named);
    worker.child.kill('SIGTERM');
    assert.equal(await worker.ended, 0);

    assert.match((await installation.cofre(['doctor', ...other])).stdout, named);
    const applied = await installation.cofre(['apply', '--yes', ...other]);
    assert.equal(applied.code, 3, applied.stderr);
    assert.match(applied.stderr, /MOVE from .* what runs there is closed as lost \(backups and restores: 1\)/);
    assert.match(applied.stderr, /cofre apply --yes --force/);
    assert.deepEqual(await states(), ['running']);
  });

  it('`apply --yes --force` moves the installation: what ran is closed, and nights begin only there', async () => {
    const moved = await installation.cofre(['apply', '--yes', '--force', ...other]);
    assert.equal(moved.code, 0, moved.stderr);
    assert.match(moved.stderr, /closed the backup/);
    assert.deepEqual(await states(), ['failed']);
    assert.match((await installation.cofre(['apply', '--yes', ...other])).stderr, /Nothing to do/);
    await release();
    assert.equal((await installation.cofre(['follow', workflowId])).code, 3, 'it publishes nothing');
    const night = await installation.cofre(['run', 'nightly']);
    assert.equal(night.code, 3, night.stderr);
    assert.match(night.stderr, /belongs to \S+-other/);
  });
});
