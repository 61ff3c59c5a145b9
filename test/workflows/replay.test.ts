import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';

import { historyFromJSON } from '@temporalio/common/lib/proto-utils.js';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { DeterminismViolationError } from '@temporalio/workflow';

import { projectFolder } from '../../tools/project-folder.ts';
import * as workflows from '../../workflows/index.ts';

const HISTORIES = join(projectFolder, 'test/histories');
const names = readdirSync(HISTORIES).filter((name) => name.endsWith('.json'));

describe('the recorded histories, see test/histories/README.md', () => {
  let code: string;

  before(async () => {
    const quiet = { logging: { filter: { core: 'ERROR', other: 'ERROR' } } } as const;
    Runtime.install({ logger: new DefaultLogger('ERROR'), telemetryOptions: quiet });
    code = await readFile(join(projectFolder, 'dist/workflow-bundle.js'), 'utf8');
  });

  async function replay(name: string, bundle: string): Promise<void> {
    const history = historyFromJSON(JSON.parse(await readFile(join(HISTORIES, name), 'utf8')));
    await Worker.runReplayHistory({ workflowBundle: { code: bundle }, replayName: name }, history);
  }

  it('case 122: a worker with the workflows of today goes on with the runs of every recorded history', async () => {
    for (const name of names) await replay(name, code);
  });

  it('case 122: every workflow has one', async () => {
    const types = await Promise.all(
      names.map(async (name) => {
        const { events } = historyFromJSON(JSON.parse(await readFile(join(HISTORIES, name), 'utf8')));
        return events?.[0]?.workflowExecutionStartedEventAttributes?.workflowType?.name;
      }),
    );
    assert.deepEqual([...new Set(types)].sort(), Object.keys(workflows).sort());
  });

  it('case 122: a workflow that would do another step than was recorded is found', async () => {
    for (const [name, step, other] of [
      ['backup-staged.json', '.compressDump(', '.packDump('],
      ['restore-replaces.json', '.swapDatabase(', '.renameDatabase('],
    ] as const) {
      assert.ok(code.includes(step));
      await assert.rejects(replay(name, code.replaceAll(step, other)), DeterminismViolationError);
    }
  });

  it('case 122: they say nothing of the machine on which they were recorded, and are small', async () => {
    for (const name of names) {
      const text = await readFile(join(HISTORIES, name), 'utf8');
      assert.ok(text.length < 300_000, name);
      const said = text.replaceAll(/"data": "([A-Za-z0-9+/=]*)"/g, (_, data: string) =>
        Buffer.from(data, 'base64').toString('utf8'),
      );
      assert.doesNotMatch(said, /\/tmp\/|\/home\/|\/root\//, name);
    }
  });
});
