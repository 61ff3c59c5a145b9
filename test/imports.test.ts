import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';

import { ESLint } from 'eslint';
import tseslint from 'typescript-eslint';

import { projectFolder } from '../tools/project-folder.ts';

const RULES = ['@typescript-eslint/no-restricted-imports', 'no-restricted-globals'];

/** The project's own configuration without what needs a file to exist. */
const eslint = new ESLint({
  cwd: projectFolder,
  overrideConfig: [tseslint.configs.disableTypeChecked],
  ruleFilter: ({ ruleId }) => RULES.includes(ruleId),
});

async function complaints(file: string, text: string): Promise<string[]> {
  const [result] = await eslint.lintText(text, { filePath: join(projectFolder, file) });
  return (result?.messages ?? []).map(({ message }) => message);
}

const forbidden: [file: string, text: string, reason: RegExp][] = [
  ['errors/new.ts', `import { load } from '../config/load.ts';`, /errors are below everything/],
  ['processes/new.ts', `import { load } from '../config/load.ts';`, /processes know only errors/],
  ['config/new.ts', `import { open } from '../catalog/open.ts';`, /below what uses it/],
  ['catalog/new.ts', `import { open } from '../destinations/open.ts';`, /the catalog records/],
  ['catalog/new.ts', `import { dump } from '../sources/postgres/dump.ts';`, /the catalog records/],
  ['postgres/new.ts', `import { open } from '../catalog/open.ts';`, /nothing of what it is used for/],
  [
    'sources/postgres/new.ts',
    `import { open } from '../../destinations/open.ts';`,
    /neither Temporal nor destinations/,
  ],
  [
    'sources/postgres/new.ts',
    `import { heartbeat } from '@temporalio/activity';`,
    /only what orchestrates knows Temporal/,
  ],
  ['destinations/new.ts', `import { dump } from '../sources/postgres/dump.ts';`, /neither Temporal nor sources/],
  ['destinations/new.ts', `import { Client } from '@temporalio/client';`, /only what orchestrates knows Temporal/],
  ['activities/new.ts', `import { backupDatabase } from '../workflows/index.ts';`, /activities are steps/],
  ['workers/new.ts', `import { print } from '../cli/print.ts';`, /a worker stands on its own/],
  ['cli/new.ts', `import { demo } from '../demo/demo.ts';`, /does not need its demonstration/],
  ['tools/new.ts', `import { print } from '../cli/print.ts';`, /they know no backups/],
  [
    'workflows/new.ts',
    `import { readFile } from 'node:fs/promises';`,
    /@temporalio\/workflow, @temporalio\/common and pure code/,
  ],
  ['workflows/new.ts', `import type { Client } from 'pg';`, /@temporalio\/workflow, @temporalio\/common and pure code/],
  ['workflows/new.ts', `import { dump } from '../activities/backup.ts';`, /types \(import type\) and pure code/],
  ['workflows/new.ts', `export const home = process.env;`, /they see no process/],
];

for (const [file, text, reason] of forbidden) {
  test(`${file.replace(/\/[^/]*$/, '/')} is refused: ${text}`, async () => {
    const messages = await complaints(file, text);
    assert.equal(messages.length, 1, messages.join('\n'));
    assert.match(messages[0] ?? '', reason);
  });
}

test('what the directions allow is not complained about', async () => {
  const allowed = `
    import { ApplicationFailure } from '@temporalio/common';
    import { sleep } from '@temporalio/workflow';
    import type { BackupActivities } from '../activities/backup.ts';
    import { newBackupId } from '../catalog/backup-id.ts';
    import { CofreError } from '../errors/error.ts';
    import { phase } from './phase.ts';`;
  assert.deepEqual(await complaints('workflows/new.ts', allowed), []);
  const steps = `import { heartbeat } from '@temporalio/activity'; import { dump } from '../sources/postgres/dump.ts';`;
  assert.deepEqual(await complaints('activities/new.ts', steps), []);
});
