import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';

import { projectFolder } from '../tools/project-folder.ts';

interface Mutation {
  /** The protection that is taken out. */
  readonly what: string;
  /** Compiled; `from` must be in it exactly once. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
  /** The tests that must notice. */
  readonly test: string;
  readonly names: string;
}

const MUTATIONS: readonly Mutation[] = [
  {
    what: 'a verification that finds every archive good',
    file: 'sources/postgres/check-archive.js',
    from: 'return wrapping === undefined ? checkStaged(reader, context) : checkStreamed(reader, context, wrapping);',
    to: 'return reader.drain(() => undefined);',
    test: 'test/sources/postgres/archive-damage.test.js',
    names: 'case (48|49)',
  },
  {
    what: 'a restore that takes any copy for the one that was verified',
    file: 'activities/fetch.js',
    from: "if (hash.digest('hex') !== object.sha256) {",
    to: 'if (false) {',
    test: 'test/activities/fetch.test.js',
    names: 'case 46',
  },
];

for (const mutation of MUTATIONS) {
  test(`case 51: the tests turn red for ${mutation.what}`, async (context) => {
    const folder = await mkdtemp(join(tmpdir(), 'cofre-mutant-'));
    context.after(() => rm(folder, { recursive: true }));
    const sound = await copyProject(join(folder, 'sound'));
    const mutant = await copyProject(join(folder, 'mutant'));
    await mutate(mutant, mutation);
    const [before, after] = await Promise.all([runTests(sound, mutation), runTests(mutant, mutation)]);
    assert.equal(before.failed, 0, before.output);
    assert.ok(before.passed > 0, before.output);
    assert.equal(after.passed, 0, `these tests did not notice: ${after.output}`);
    assert.equal(after.failed, before.passed, after.output);
  });
}

/** The compiled project; its files are links, so they must be replaced and never be written to. */
async function copyProject(folder: string): Promise<string> {
  const compiled = dirname(import.meta.dirname);
  execFileSync('mkdir', [folder]);
  execFileSync('cp', ['--archive', '--link', compiled, join(folder, 'dist')]);
  execFileSync('cp', [join(projectFolder, 'package.json'), folder]);
  await symlink(join(projectFolder, 'node_modules'), join(folder, 'node_modules'));
  return folder;
}

async function mutate(project: string, { file, from, to }: Mutation): Promise<void> {
  const path = join(project, 'dist', file);
  const code = await readFile(path, 'utf8');
  assert.equal(code.split(from).length, 2, `${file} must have this exactly once, or this test proves nothing: ${from}`);
  await writeFile(
    `${path}.new`,
    code.replace(from, () => to),
  );
  await rename(`${path}.new`, path);
}

async function runTests(
  project: string,
  mutation: Mutation,
): Promise<{ passed: number; failed: number; output: string }> {
  const args = [
    '--test',
    '--test-reporter=tap',
    `--test-name-pattern=${mutation.names}`,
    join(project, 'dist', mutation.test),
  ];
  const environment = { ...process.env };
  // It would tell Node that this is a part of the test run that is under way.
  delete environment['NODE_TEST_CONTEXT'];
  const child = spawn(process.execPath, args, { cwd: project, env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  await once(child, 'close');
  const count = (word: string): number => Number(new RegExp(`^# ${word} (\\d+)$`, 'm').exec(output)?.[1] ?? -1);
  return { passed: count('pass'), failed: count('fail'), output };
}
