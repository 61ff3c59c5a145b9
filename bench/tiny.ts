import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';

import type { Bench } from './bench.ts';
import { hold, type Result } from './contest.ts';
import { Site } from './site.ts';

const DATABASE = 'bench_tiny';
const SCRIPT = `create table t (id int primary key, x text);
  insert into t select g, md5(g::text) from generate_series(1, 1000) g;`;
/** A round takes a second, and ranges are wide where everything is waiting. */
const MORE_ROUNDS = 4;

/** What the workflow does, by hand, one tool after the other: dump, compress, pack, copy durably, hash, decode. */
const BARE_TOOLS = `
  pg_dump -Fd -j2 -Z0 -f "$D/raw" && cp "$D/raw/toc.dat" "$D/first" &&
  find "$D/raw" -name '*.dat' ! -name toc.dat -size +7 -print0 | xargs -0r zstd -3 -q --rm &&
  tar cf "$D/database.tar" -C "$D/raw" . && cp "$D/database.tar" "$D/copy.tar" && sync "$D/copy.tar" &&
  sha256sum "$D/copy.tar" > /dev/null && mkdir "$D/check" && tar xf "$D/copy.tar" -C "$D/check" &&
  find "$D/check" -name '*.zst' -print0 | xargs -0r zstd -dq --rm && pg_restore -f /dev/null "$D/check"`;

/** A tiny database: what orchestration costs, where there is nothing else to do. */
export async function tiny(bench: Bench): Promise<Result[]> {
  await bench.database(DATABASE, [SCRIPT]);
  const site = await Site.open(bench, DATABASE);
  try {
    const bareTools = async (): Promise<undefined> => {
      const folder = await mkdtemp(join(bench.folder, 'tiny-'));
      await bench.shell(BARE_TOOLS, DATABASE, { D: folder });
      await rm(folder, { recursive: true });
    };
    const backup = async (): Promise<undefined> => void (await site.backup());
    const contest = {
      name: 'tiny',
      what: 'A tiny database, from start to result',
      contestants: [
        { name: 'bare tools, one after the other', run: bareTools, cpu: bench.shellCpu() },
        { name: 'backupDatabase', run: backup, tell: () => site.steps(), cpu: site.cpu },
      ],
    };
    await backup();
    return [await hold(contest, bench.rounds * MORE_ROUNDS)];
  } finally {
    await site.close();
  }
}
