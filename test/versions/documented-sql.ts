import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import type { PostgresTarget } from '../../postgres/connect.ts';
import { projectFolder } from '../../tools/project-folder.ts';

const run = promisify(execFile);
const PSQL = '/usr/lib/postgresql/15/bin/psql';

/** The password that stands in the documentation's place for one. */
export const PASSWORD = 'documented';

/**
 * Runs, with psql as an operator would, the block of SQL in docs/operations.md that comes first after the sentence with
 * these words.
 */
export async function runDocumented(
  target: PostgresTarget,
  words: string,
  change: (sql: string) => string = (sql) => sql,
): Promise<void> {
  const text = await readFile(join(projectFolder, 'docs/operations.md'), 'utf8');
  const at = text.indexOf(words);
  const block = /\n```sql\n(.*?)\n```\n/s.exec(text.slice(Math.max(at, 0)))?.[1];
  if (at === -1 || block === undefined) throw new Error(`docs/operations.md has no SQL after: ${words}`);
  const child = run(PSQL, ['--no-psqlrc', '--quiet', '--set=ON_ERROR_STOP=1', '--file=-'], {
    env: {
      PGHOST: target.host,
      PGPORT: String(target.port),
      PGUSER: target.user,
      PGPASSWORD: target.password.reveal(),
      PGDATABASE: target.database,
    },
  });
  child.child.stdin?.end(change(block).replaceAll('…', PASSWORD));
  await child;
}
