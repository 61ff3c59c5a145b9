import { lstat, readdir, stat } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';

import { nativeCode } from '../errors/error.ts';

export function hasWildcard(pattern: string): boolean {
  return /[*?]/.test(pattern);
}

/** Why a pattern is not one, or undefined. Unknown wildcards would match nothing, and nobody would notice. */
export function patternMistake(pattern: string): string | undefined {
  if (/\*\*|[[\]{}]/.test(pattern))
    return 'the wildcards are * and ?, within one folder; write one pattern for each folder';
  return undefined;
}

/**
 * The files that a pattern means, sorted; `*` and `?` stop at a slash and do not match a leading dot (an editor's
 * temporary files). Folders are left out where a wildcard found them; a file that cannot be read is not.
 */
export async function matchFiles(pattern: string, folder: string): Promise<string[]> {
  let found = [isAbsolute(pattern) ? '/' : folder];
  const steps = pattern.split('/').filter((step) => step !== '' && step !== '.');
  for (const [index, step] of steps.entries()) {
    const isLast = index === steps.length - 1;
    const next: string[] = [];
    for (const base of found) {
      if (!hasWildcard(step)) next.push(join(base, step));
      else for (const entry of await entriesLike(base, step)) next.push(join(base, entry));
    }
    found = isLast ? await withoutFolders(next, hasWildcard(pattern)) : next;
  }
  return found.sort();
}

async function entriesLike(folder: string, step: string): Promise<string[]> {
  const expression = new RegExp(
    `^${step
      .replace(/[.+^$()|\\]/g, '\\$&')
      .replace(/\*+/g, '.*')
      .replace(/\?/g, '.')}$`,
    'su',
  );
  try {
    const entries = await readdir(folder === '' ? '.' : folder);
    return entries.filter((entry) => (step.startsWith('.') || !entry.startsWith('.')) && expression.test(entry));
  } catch (error) {
    if (nativeCode(error) === 'ENOENT' || nativeCode(error) === 'ENOTDIR') return [];
    throw error;
  }
}

async function withoutFolders(paths: readonly string[], wildcard: boolean): Promise<string[]> {
  const kept = await Promise.all(paths.map((path) => isWanted(path, wildcard)));
  return paths.filter((_, index) => kept[index]);
}

async function isWanted(path: string, wildcard: boolean): Promise<boolean> {
  try {
    const found = await stat(path);
    return !wildcard || !found.isDirectory();
  } catch (error) {
    if (nativeCode(error) !== 'ENOENT' && nativeCode(error) !== 'ENOTDIR') return true;
    // `*/x.yaml` where a folder has no x.yaml is nothing; a link that leads nowhere was meant to be read.
    return lstat(path).then(
      () => true,
      () => false,
    );
  }
}
