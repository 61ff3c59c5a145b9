import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The folder that holds package.json: compiled files lie deeper below it than their sources. */
export const projectFolder = findProjectFolder(import.meta.dirname);

function findProjectFolder(folder: string): string {
  if (existsSync(join(folder, 'package.json'))) return folder;
  const parent = dirname(folder);
  if (parent === folder) throw new Error('this file is not in a project: no package.json above it');
  return findProjectFolder(parent);
}
