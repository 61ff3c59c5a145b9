import { after, before, describe, it } from 'node:test';

import { crashAll, record, restartServer, type CrashCase } from '../crash/matrix.ts';
import { OwnServers } from '../crash/own-servers.ts';
import { everyCase, oneCase } from '../crash/positions.ts';
import type { StepRecord } from '../crash/protocol.ts';
import { scenarios, type Scenario } from '../crash/scenarios.ts';
import { CrashSite } from '../crash/site.ts';
import { isLong } from '../long.ts';

describe('a server that is killed and started again while runs stand in the middle of their steps', () => {
  let servers: OwnServers;
  let site: CrashSite;
  let records: Map<Scenario, StepRecord[]>;

  before(async () => {
    servers = await OwnServers.start();
    site = await CrashSite.create(
      isLong ? { staged: 30, streamed: 10, debt: 3, new: 3, adopting: 3 } : { staged: 6, streamed: 0, debt: 0, new: 0 },
    );
    await site.startWorker();
    const met = ['a backup', 'a restore over a live database'];
    records = await record(site, isLong ? scenarios : scenarios.filter(({ name }) => met.includes(name)));
  });

  after(async () => {
    await site.remove();
    await servers.remove();
  });

  async function crash(restart: () => Promise<void>): Promise<void> {
    const backup = (activity: string, where: string): CrashCase => oneCase(records, 'a backup', activity, where);
    const restore = (activity: string, where: string): CrashCase =>
      oneCase(records, 'a restore over a live database', activity, where);
    const some = [backup('verify', 'end'), restore('swapDatabase', 'middle')];
    // While runs stand still and a server is away no clock stands still: whether a host is asked if it is there, and when, is another matter
    // then; and who stands in the middle of writing a hold for 20 seconds gives up, and says so.
    const every = everyCase(records).filter(({ positions }) =>
      positions.every(
        ({ activity, point }) => activity !== 'checkHost' && (activity !== 'layHold' || typeof point === 'string'),
      ),
    );
    await crashAll(site, isLong ? every : some, restartServer(restart));
  }

  it('case 118: PostgreSQL, with the catalog and the databases: every run comes to its end, and nothing is half-made', async () => {
    await crash(() => servers.killPostgres());
  });

  it('case 118: Temporal: every run comes to its end, and nothing is half-made', async () => {
    await crash(() => servers.killTemporal());
  });
});
