import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { inspect, promisify } from 'node:util';

import { CofreError } from '../../errors/error.ts';
import { ToolFailure } from '../../processes/tool.ts';
import { projectFolder } from '../../tools/project-folder.ts';

const run = promisify(execFile);
const dist = (path: string): string => JSON.stringify(pathToFileURL(join(projectFolder, 'dist', path)).href);

test('case 96: the log has what an error says, and no field that a library put on it', async () => {
  const script = `
    const { createLog } = await import(${dist('workers/log.js')});
    const { CofreError } = await import(${dist('errors/error.js')});
    const cause = Object.assign(new Error('of pg'), { detail: 'Key (cpf)=(SENHA)', where: 'COPY t: SENHA', hint: 'SENHA', parameters: ['SENHA'] });
    createLog().warn({ error: cause }, 'one');
    createLog().warn({ err: new CofreError('refused', 'of ours', { cause, hint: 'do this' }) }, 'two');`;
  const { stderr } = await run(process.execPath, ['--input-type=module', '-e', script]);
  const [one, two] = stderr
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { error?: object; err?: object });
  assert.doesNotMatch(stderr, /SENHA/);
  assert.deepEqual(Object.keys(one?.error ?? {}), ['type', 'message', 'stack']);
  assert.match(JSON.stringify(two?.err), /of ours: of pg.*caused by.*"code":"refused","hint":"do this"/);
});

test('case 96: an error prints no more of a tool than its message has', () => {
  const failure = new ToolFailure('tar', 1, null, ['SENHA', ...'abcdefgh'].join('\n'));
  const printed = inspect(new CofreError('no-space', 'full', { cause: failure }), { depth: 9, showHidden: true });
  assert.doesNotMatch(printed, /SENHA/);
  assert.match(failure.stderr, /SENHA/);
});

test('case 96: a defect of the command line is printed without the fields of its error', async () => {
  const hook = `data:text/javascript,setInterval(() => {
    if (process.listenerCount('uncaughtException') > 0) throw Object.assign(new Error('of pg'), { detail: 'SEN' + 'HA' });
  }, 5)`;
  const args = ['--import', hook, join(projectFolder, 'dist/cli/cofre.js'), 'worker', '--config', '/dev/stdin'];
  const failure = await run(process.execPath, args).then(
    () => undefined,
    (error: unknown) => error as { stderr: string; code: number },
  );
  assert.equal(failure?.code, 1);
  assert.match(failure.stderr, /cofre: Error: of pg\n {4}at /);
  assert.doesNotMatch(failure.stderr, /SENHA/);
});
