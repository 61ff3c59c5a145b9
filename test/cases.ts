import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { projectFolder } from '../tools/project-folder.ts';

/** `npm run cases`: the cases of docs/failure-cases.md with the tests that provoke them, and those without one. */

const ROW = /^\| +(\d+) +\| ([^|]+?) +\| (.+?) +\| .+ \|$/gm;
const TITLE = /\b(?:test|it|describe)\(\s*(['"`])case (\d+): (.+?)\1/gs;

const known = new Map<number, string>();
for (const [, number, group, name] of (await read('docs/failure-cases.md')).matchAll(ROW)) {
  known.set(Number(number), `${group}: ${name}`);
}
const tests = await findTests();
for (const [number, name] of known) {
  console.log(`case ${number}  ${name}`);
  for (const found of tests.get(number) ?? []) console.log(`    ${found}`);
  if (!tests.has(number)) console.log('    none');
}
const unknown = [...tests.keys()].filter((number) => !known.has(number));
for (const number of unknown)
  console.log(`there is no case ${number}, which a title names: ${tests.get(number)?.join(', ')}`);
const covered = [...known.keys()].filter((number) => tests.has(number)).length;
console.log(`${covered} of ${known.size} cases have a test`);
process.exitCode = unknown.length === 0 ? 0 : 1;

/** Numbers to `path: title`. */
async function findTests(): Promise<Map<number, string[]>> {
  const found = new Map<number, string[]>();
  const files = (await readdir(join(projectFolder, 'test'), { recursive: true })).filter((file) =>
    file.endsWith('.test.ts'),
  );
  for (const file of files.sort()) {
    for (const [, , number, title] of (await read(join('test', file))).matchAll(TITLE)) {
      const place = `test/${file}: ${title}`;
      found.set(Number(number), [...(found.get(Number(number)) ?? []), place]);
    }
  }
  return found;
}

async function read(path: string): Promise<string> {
  return await readFile(join(projectFolder, path), 'utf8');
}
