import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { after, before, describe, it } from 'node:test';

import { withClient } from '../../postgres/connect.ts';
import { assertHostClean, assertNothingLeft, assertSpoolEmpty, visibleBackups } from '../crash/aftermath.ts';
import { endOf } from '../crash/scenarios.ts';
import { CrashSite } from '../crash/site.ts';
import { SmallMemory } from '../small-memory.ts';
import { until } from '../until.ts';

/** One zstd of these tables needs 14 MB, two need 28. */
const [ENOUGH_FOR_ONE, ENOUGH_FOR_NONE] = [20 * 1024 * 1024, 4 * 1024 * 1024];
const TABLES = `
  CREATE TABLE public.a AS SELECT g, md5(g::text) AS x, md5((g + 1)::text) AS y FROM generate_series(1, 80000) g;
  CREATE TABLE public.b AS SELECT * FROM public.a; CREATE TABLE public.c AS SELECT * FROM public.a; CREATE TABLE public.d AS SELECT * FROM public.a;`;

describe('memory that runs out', () => {
  let site: CrashSite;

  before(async () => {
    site = await CrashSite.create({ staged: 2, streamed: 0, debt: 0, new: 0 }, { jobs: 4 });
    for (const environment of site.environments.staged)
      await withClient(site.target(environment), (client) => client.query(TABLES));
  });

  after(() => site.remove());

  /**
   * Backs up while the tools of the host have too little memory together when they begin to compress, and so much after
   * they were killed once. Gives how the run ended.
   */
  async function backUpIn(laterBytes: number, environment: string): Promise<string> {
    const memory = await SmallMemory.create();
    let worker: ChildProcess | undefined;
    try {
      worker = await site.workers.start({ COFRE_TEST_TOOLS: memory.processes });
      await site.workers.hold(environment, { activity: 'compressDump', call: 1, point: 'start' });
      const run = await site.startRun('backupDatabase', environment, { environment });
      await until('it is about to compress', () => site.workers.held.has(environment));
      await memory.limit(ENOUGH_FOR_NONE);
      site.workers.release(environment);
      await until('tools were killed', () => attemptsOf(environment).length > 0);
      await memory.limit(laterBytes);
      return await endOf(site, environment, run);
    } finally {
      if (worker !== undefined) await site.installation.endWorker(worker, 'SIGTERM');
      await memory.remove();
    }
  }

  /** How many processes at once each attempt to compress used. */
  function attemptsOf(environment: string): number[] {
    return (site.workers.steps.get(environment) ?? [])
      .filter(({ activity }) => activity === 'compressDump')
      .map(({ tools }) => tools.filter(({ name }) => name === 'zstd').length);
  }

  it('case 124: tools that the kernel kills for want of memory are tried again with half as many at once, until they fit', async () => {
    const [environment = ''] = site.environments.staged;
    assert.equal(await backUpIn(ENOUGH_FOR_ONE, environment), 'complete');
    const attempts = attemptsOf(environment);
    // Who of the two is killed then, the kernel decides.
    assert.ok(attempts.length > 1, 'it was killed at least once');
    assert.deepEqual(attempts, [4, 2, 1, 1, 1].slice(0, attempts.length), 'processes at once');
    assert.equal((await visibleBackups(site, environment)).length, 1);
    await assertNothingLeft(site, environment);
    await assertHostClean(site);
    await assertSpoolEmpty(site.installation.spool, [environment]);
  });

  it('case 124: where not even one fits, the run ends after five tries and says why', async () => {
    const [, environment = ''] = site.environments.staged;
    const ended = await backUpIn(ENOUGH_FOR_NONE, environment);
    assert.match(ended, /^killed: \w+ .*SIGKILL/);
    // Tables that fitted after all are not compressed again, so perhaps it is a later step that has no success.
    const steps = site.workers.steps.get(environment) ?? [];
    assert.equal(Math.max(...steps.map(({ attempt }) => attempt)), 5, JSON.stringify(steps));
    assert.equal((await visibleBackups(site, environment)).length, 0);
    await assertNothingLeft(site, environment);
    await assertHostClean(site);
    // Where an archive was finished and no copy of it, it stays in the spool by design.
  });
});
