import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { DirectoryDestination } from '../destinations/directory/directory.ts';
import { prepareDirectory } from '../destinations/directory/marker.ts';
import type { Bench } from './bench.ts';
import type { Result } from './contest.ts';
import { makeObject, race, shellContestant } from './object.ts';

/** One object to a mounted folder and back, beside cp and fsync. */
export async function directory(bench: Bench): Promise<Result[]> {
  const root = join(bench.folder, 'mounted');
  await mkdir(root);
  await prepareDirectory(root);
  const file = await makeObject(bench, 'directory-object');
  const copy = join(root, '.stock');
  const environment = { FILE: file.path, COPY: copy };
  return await race(bench, {
    ...{ name: 'directory', where: 'a mounted folder', file },
    open: () => new DirectoryDestination('mounted', root),
    putters: [
      {
        ...shellContestant(bench, 'cp; sync (fsync)', 'cp "$FILE" "$COPY"; sync "$COPY"', environment),
        prepare: () => rm(copy, { force: true }),
      },
    ],
    getters: [shellContestant(bench, 'sha256sum', 'sha256sum "$FILE" > /dev/null', environment)],
  });
}
