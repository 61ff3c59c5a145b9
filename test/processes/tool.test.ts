import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, open, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { endRecordedGroups } from '../../processes/group-records.ts';
import { captureTool, finishAll, startTool, ToolFailure, type Tool } from '../../processes/tool.ts';

/** Test tools are shell lines; the product itself never runs a shell. */
function line(text: string): Tool {
  return { name: 'sh', path: 'sh', args: ['-c', text] };
}

async function makeFolder(context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'cofre-tool-'));
  context.after(() => rm(folder, { recursive: true }));
  return folder;
}

/** Running processes whose command line holds `mark`. */
async function processesWith(mark: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await readdir('/proc')) {
    const words = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (/^\d+$/.test(pid) && Number(pid) !== process.pid && words.includes(mark)) found.push(pid);
  }
  return found;
}

async function untilGone(mark: string): Promise<void> {
  for (let tries = 0; (await processesWith(mark)).length > 0; tries += 1) {
    assert.ok(tries < 200, `still running: ${mark}`);
    await sleep(25);
  }
}

test('a cancel ends the tool and the children it started', async () => {
  const cancel = new AbortController();
  const running = startTool(line(`sleep 301.${process.pid} & sleep 301.${process.pid}`), {}, { signal: cancel.signal });
  await sleep(100);
  cancel.abort(new Error('cancelled'));
  await assert.rejects(running.done, /cancelled/);
  await untilGone(`301.${process.pid}`);
});

test('children that a tool leaves behind are ended with it', async () => {
  await startTool(line(`sleep 302.${process.pid} & exit 0`)).done;
  await untilGone(`302.${process.pid}`);
});

test('a pipeline fails when its first tool fails, whatever its last one says', async (context) => {
  const file = await open(join(await makeFolder(context), 'out'), 'w');
  const first = startTool(line('echo half; echo broken >&2; exit 3'), { stdout: 'pipe' });
  const last = startTool(line('cat'), { stdin: first, stdout: file.fd });
  await assert.rejects(
    finishAll([first, last]),
    (error: unknown) => error instanceof ToolFailure && /exit code 3: broken/.test(error.message),
  );
  await file.close();
});

test('a pipeline ends when its last tool fails, and the first does not wait for ever', async () => {
  const first = startTool(line('yes'), { stdout: 'pipe' });
  const last = startTool(line('exit 4'), { stdin: first });
  await assert.rejects(finishAll([first, last]), /exit code 4/);
});

for (const [word, end, expected] of [
  ['Broken pipe', 'exit 4', /exit code 4/],
  ['Connection reset by peer', 'exit 4', /exit code 4/],
  ['Connection reset by peer', 'kill -KILL $$', /ended by SIGKILL/],
] as const) {
  test(`the failure of a pipeline is the reader's (${end}), though the writer says "${word}" before it`, async (context) => {
    const ready = join(await makeFolder(context), 'ready');
    const first = startTool(line(`until [ -e ${ready} ]; do sleep 0.01; done; echo "write: ${word}" >&2; exit 1`), {
      stdout: 'pipe',
    });
    const last = startTool(line(`trap "" TERM; : > ${ready}; sleep 0.3; ${end}`), { stdin: first });
    await assert.rejects(finishAll([first, last]), expected);
  });
}

test('a flood on stderr is kept short, with its beginning and its end', async () => {
  const running = startTool(
    line('echo first >&2; head -c 20000000 /dev/zero | tr "\\\\0" x >&2; echo >&2; echo last >&2; exit 1'),
  );
  await assert.rejects(running.done, /last/);
  assert.ok(running.stderr.length < 50_000);
  assert.match(running.stderr, /^first/);
});

test('a tool gets no environment but its own', async () => {
  process.env['COFRE_CANARY'] = 'canary';
  const text = await captureTool({ name: 'env', path: 'env', args: [], env: { PGHOST: 'here' } });
  delete process.env['COFRE_CANARY'];
  assert.match(text, /PGHOST=here/);
  assert.doesNotMatch(text, /canary/);
});

test('a missing tool is named', async () => {
  await assert.rejects(startTool({ name: 'pg_nothing', path: '/nowhere/pg_nothing', args: [] }).done, {
    code: 'tool-missing',
    message: /pg_nothing/,
  });
});

test('what a killed worker left running is ended by the next one, and nothing else', async (context) => {
  const records = join(await makeFolder(context), 'groups');
  const module = fileURLToPath(new URL('../../processes/tool.js', import.meta.url));
  // Its tool has a child: the kernel ends the tool with the worker, the child only the record can find.
  const script = `const { startTool } = await import(${JSON.stringify(module)});
    startTool({ name: 'sh', path: 'sh', args: ['-c', 'sleep 303.${process.pid} & wait'] }, {}, { records: ${JSON.stringify(records)} }); console.log('started'); setInterval(() => {}, 1000);`;
  const worker = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(worker.stdout, 'data');
  await sleep(200);
  const other = spawn('sleep', [`304.${process.pid}`], { detached: true });
  worker.kill('SIGKILL');
  await once(worker, 'exit');
  await sleep(100);
  assert.equal((await processesWith(`303.${process.pid}`)).length > 0, true, 'something is left to end');
  assert.equal(endRecordedGroups(records), 1);
  await untilGone(`303.${process.pid}`);
  assert.equal((await processesWith(`304.${process.pid}`)).length, 1);
  other.kill();
  assert.deepEqual(await readdir(records), []);
});
