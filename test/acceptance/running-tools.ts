import { readdirSync, readFileSync } from 'node:fs';

import type { Installation } from './installation.ts';

export interface RunningTool {
  readonly pid: number;
  readonly parent: number;
  readonly words: string;
  /** The database it was told to work on. */
  readonly database: string | undefined;
}

/** Processes that work on this installation's folder or databases, found by what they were started with. */
export function runningTools(installation: Pick<Installation, 'folder' | 'id'>): RunningTool[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const words = readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0').join(' ');
        const environment = readFileSync(`/proc/${name}/environ`, 'utf8');
        const ours = words.includes(installation.folder) || environment.includes(`PGDATABASE=${installation.id}`);
        if (!ours || !/pg_dump|pg_restore|zstd|tar /.test(words)) return [];
        const database = /(?:^|\0)PGDATABASE=([^\0]*)/.exec(environment)?.[1];
        const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
        const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
        return [{ pid: Number(name), parent, words, database }];
      } catch {
        return []; // it has ended since the folder was listed
      }
    });
}

/** The dumps of one environment that are under way, each once: what `pg_dump -j` starts belongs to its leader. */
export function dumpsOf(installation: Pick<Installation, 'folder' | 'id' | 'database'>, environment: string): number[] {
  const tools = runningTools(installation).filter(
    ({ words, database }) => /^\S*pg_dump /.test(words) && database === installation.database(environment),
  );
  return tools.filter(({ parent }) => !tools.some(({ pid }) => pid === parent)).map(({ pid }) => pid);
}
