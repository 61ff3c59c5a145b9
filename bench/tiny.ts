import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { Installation } from '../test/acceptance/installation.ts';
import { testServers } from '../test/servers.ts';
import { CONTROL_QUEUE } from '../workflows/queues.ts';
import type { Comparison } from './comparison.ts';

const run = promisify(execFile);

/** What the workflow does, by hand, one tool after the other: dump, compress, pack, copy durably, hash, decode. */
const BARE_TOOLS = `
  pg_dump -Fd -j2 -Z0 -f "$D/raw" && cp "$D/raw/toc.dat" "$D/first" &&
  find "$D/raw" -name '*.dat' ! -name toc.dat -size +7 -print0 | xargs -0r zstd -3 -q --rm &&
  tar cf "$D/database.tar" -C "$D/raw" . && cp "$D/database.tar" "$D/copy.tar" && sync "$D/copy.tar" &&
  sha256sum "$D/copy.tar" > /dev/null && mkdir "$D/check" && tar xf "$D/copy.tar" -C "$D/check" &&
  find "$D/check" -name '*.zst' -print0 | xargs -0r zstd -dq --rm && pg_restore -f /dev/null "$D/check"`;

/** A tiny database: what orchestration costs, where there is nothing else to do. */
export async function tiny(rounds: number): Promise<Comparison> {
  const installation = await Installation.create([{ id: 'tiny' }]);
  try {
    await installation.createEnvironmentDatabase(
      'tiny',
      'CREATE TABLE public.t (id int PRIMARY KEY, x text); INSERT INTO public.t SELECT g, md5(g::text) FROM generate_series(1, 1000) g',
    );
    await installation.startWorker();
    const client = await installation.client();
    const backup = async (round: number): Promise<number> => {
      const startedAt = performance.now();
      const id = `backupDatabase/tiny/${round}`;
      await client.workflow.execute('backupDatabase', {
        taskQueue: CONTROL_QUEUE,
        workflowId: id,
        args: [{ environment: 'tiny' }],
      });
      return performance.now() - startedAt;
    };
    const comparison: Comparison = {
      name: 'tiny',
      what: 'a tiny database, from start to result',
      baseline: 'bare tools in sequence',
      subject: 'backupDatabase',
      unit: 'ms',
      baselineMs: [],
      subjectMs: [],
    };
    await backup(-1);
    for (let round = 0; round < rounds; round += 1) {
      comparison.baselineMs.push(await bareTools(installation));
      comparison.subjectMs.push(await backup(round));
    }
    await client.connection.close();
    return comparison;
  } finally {
    await installation.remove();
  }
}

async function bareTools(installation: Installation): Promise<number> {
  const { postgres } = testServers();
  const folder = await mkdtemp(join(tmpdir(), 'cofre-bench-'));
  const startedAt = performance.now();
  await run('bash', ['-euo', 'pipefail', '-c', BARE_TOOLS], {
    env: {
      ...process.env,
      D: folder,
      PGDATABASE: installation.database('tiny'),
      PGHOST: postgres.host,
      PGPORT: String(postgres.port),
      PGUSER: postgres.user,
      PGPASSWORD: postgres.password,
    },
  });
  const tookMs = performance.now() - startedAt;
  await rm(folder, { recursive: true });
  return tookMs;
}
