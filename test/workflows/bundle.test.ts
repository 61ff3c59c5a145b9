import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';

import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';

import { projectFolder } from '../../tools/project-folder.ts';
import * as workflows from '../../workflows/index.ts';

test('the workflows bundle: nothing that they import touches the world', async () => {
  const { code } = await bundleWorkflowCode({
    workflowsPath: join(projectFolder, 'dist', 'workflows', 'index.js'),
    logger: new DefaultLogger('ERROR'),
  });
  for (const forbidden of ['node:fs', 'node:child_process', 'require("pg")'])
    assert.ok(!code.includes(`"${forbidden}"`), forbidden);
});

test('the public names of the workflows stay: running executions are found by them', () => {
  assert.deepEqual(Object.keys(workflows).sort(), [
    'backupDatabase',
    'copyBackups',
    'dropOldDatabase',
    'ensureDatabase',
    'holdBackup',
    'holdEnvironment',
    'planRestore',
    'releaseBackup',
    'restoreDatabase',
    'retireDestination',
    'runRoutine',
    'syncCatalog',
    'verifyCopies',
  ]);
});
