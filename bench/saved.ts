import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { nativeCode } from '../errors/error.ts';
import { projectFolder } from '../tools/project-folder.ts';
import type { Result } from './contest.ts';
import { toMarkdown } from './report.ts';
import { targetsToMarkdown } from './targets.ts';

/** What one benchmark has found, kept until it runs again: all of them together take half an hour. */
export interface Saved {
  readonly machine: string;
  readonly measuredAt: string;
  readonly results: readonly Result[];
}

const folder = join(projectFolder, '.cofre', 'bench');

export async function saveResults(benchmark: string, saved: Saved): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, `${benchmark}.json`), JSON.stringify(saved, null, 2));
}

/** A report of all benchmarks that have been run; gives its path. */
export async function writeReport(benchmarks: readonly string[]): Promise<string> {
  const found: Saved[] = [];
  for (const name of benchmarks) found.push(...(await readSaved(name)));
  const results = found.flatMap((saved) => saved.results);
  const machines = [...new Set(found.map(({ machine }) => machine))];
  const path = join(folder, 'report.md');
  const parts = [...machines, '', '## Targets', '', targetsToMarkdown(results), '## Figures', ''];
  await writeFile(path, [...parts, ...results.map(toMarkdown)].join('\n'));
  return path;
}

async function readSaved(benchmark: string): Promise<Saved[]> {
  try {
    return [JSON.parse(await readFile(join(folder, `${benchmark}.json`), 'utf8')) as Saved];
  } catch (error) {
    if (nativeCode(error) === 'ENOENT') return [];
    throw error;
  }
}
