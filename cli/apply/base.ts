import { readFile, rename, writeFile } from 'node:fs/promises';

import { CofreError, nativeCode } from '../../errors/error.ts';

/**
 * What a file builds on: the digests that `<file>.applied` beside it names. It travels with the file (into version
 * control too), so that whoever edits an older state of the file is told, and not the colleague whose work would be undone.
 */
export function basePath(configPath: string): string {
  return `${configPath}.applied`;
}

const HEADING = '# written by `cofre apply`: the configuration that this file builds on; keep it with the file';

/** The digests of the versions that the file may build on; none where it was never applied. */
export async function readBase(configPath: string): Promise<readonly string[]> {
  const text = await readFile(basePath(configPath), 'utf8').catch((error: unknown) => {
    if (nativeCode(error) === 'ENOENT') return '';
    throw cannot('read', configPath, error);
  });
  return text.split('\n').filter((line) => /^[0-9a-f]{64}$/.test(line));
}

/**
 * Remembers what the file builds on. Before a version is stored that is the old one and the new one, because nobody knows
 * on which side of the storing a crash will fall; afterwards the new one alone.
 * @throws CofreError `access-denied` where the folder cannot be written.
 */
export async function writeBase(configPath: string, digests: readonly string[]): Promise<void> {
  if ((await readBase(configPath)).join() === digests.join()) return;
  const path = basePath(configPath);
  try {
    await writeFile(`${path}.part`, `${[HEADING, ...digests].join('\n')}\n`);
    await rename(`${path}.part`, path);
  } catch (error) {
    throw cannot('write', configPath, error);
  }
}

function cannot(what: 'read' | 'write', configPath: string, cause: unknown): CofreError {
  return new CofreError(
    'access-denied',
    `cannot ${what} ${basePath(configPath)}, which remembers what the configuration builds on`,
    {
      cause,
      hint: 'run cofre apply as a user who may write beside the configuration',
    },
  );
}
