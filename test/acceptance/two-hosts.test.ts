import { after, before, describe, it } from 'node:test';

import { crashAll, record, type CrashCase, type Disturbance } from '../crash/matrix.ts';
import { oneCase, randomCases } from '../crash/positions.ts';
import type { StepRecord } from '../crash/protocol.ts';
import { seed } from '../crash/seed.ts';
import { scenarios, type Scenario } from '../crash/scenarios.ts';
import { TwoHosts } from '../crash/two-hosts.ts';
import { isLong } from '../long.ts';

const MET = [
  'a backup',
  'a restore over a live database',
  'a backup that is cancelled',
  ...(isLong ? ['a streamed backup', 'ensure', 'a restore that is cancelled'] : []),
];

describe('two hosts, of which one is lost or frozen', () => {
  let hosts: TwoHosts;
  const records = new Map<Scenario, StepRecord[]>();

  before(async () => {
    hosts = await TwoHosts.create({ staged: isLong ? 8 : 5, streamed: 2, debt: 0, new: 0 });
    await hosts.startWorker('h1');
    await hosts.startWorker('h2');
    const all = await record(
      hosts.site,
      scenarios.filter(({ name }) => MET.includes(name)),
    );
    // Any host may take a step of the shared queue, and only h1 stands still.
    for (const [scenario, steps] of all)
      records.set(
        scenario,
        steps.filter(({ taskQueue }) => taskQueue.startsWith('host.')),
      );
  });

  after(() => hosts.remove());

  async function crash(cases: readonly CrashCase[], disturb: Disturbance): Promise<void> {
    await crashAll(hosts.site, cases, disturb, 'left');
  }

  const at = (scenario: string, activity: string, where: string): CrashCase =>
    oneCase(records, scenario, activity, where);

  it('case 119: a host that is lost for ever after the dump, or in any other step, is replaced by another one', async () => {
    const cases = [at('a backup', 'compressDump', 'end'), at('a restore over a live database', 'loadDatabase', 'tool')];
    await crash(isLong ? [...cases, ...randomCases(records, 40, seed)] : cases, hosts.loseHost);
  });

  it('case 120: a host that is frozen in any step and wakes up after another one finished can neither publish nor delete', async () => {
    const cases = [
      // Right before the question whether it may, and right after it.
      at('a backup', 'verify', 'sql.query SELECT state, attempt'),
      at('a backup', 'verify', 'fs.link'),
      at('a backup', 'deleteLocal', 'start'),
      at('a backup that is cancelled', 'discardCopies', 'fs.rm'),
      // With the lock of the server in its hands.
      at('a restore over a live database', 'swapDatabase', 'sql.query SELECT datname'),
    ];
    await crash(isLong ? [...cases, ...randomCases(records, 40, seed + 1)] : cases, hosts.freezeHost);
  });

  if (isLong) {
    it('case 120: a host that wakes up while another one is about to publish its own dump leaves one whole backup', async () => {
      const cases = [
        at('a backup', 'upload', 'fs.link'),
        at('a backup', 'verify', 'sql.query SELECT state, attempt'),
        at('a backup', 'verify', 'fs.link'),
      ];
      await crash(cases, hosts.freezeUntilSent);
    });

    it('case 119: a host whose network is gone for ever is replaced by another one, and disturbs nothing when it is back', async () => {
      await crash(randomCases(records, 40, seed + 2), hosts.cutHost);
    });
  }
});
