import type { Client } from '@temporalio/client';

import type { Config } from '../../config/schema.ts';
import { isAsWanted, routineSchedule } from '../apply/schedule.ts';
import { describeRoutine } from '../apply/schedules.ts';
import { missingSearchAttributes } from '../apply/search-attributes.ts';
import type { Session } from '../session.ts';
import { queueStatus } from '../status/temporal.ts';
import { examine, fail, ok, warn, type Check } from './check.ts';

const AREA = 'Temporal';

/** Whether Temporal answers, knows what Cofre needs, and somebody works. */
export async function examineTemporal(session: Session, config: Config): Promise<Check[]> {
  return await examine(AREA, async () => {
    const client = await session.client();
    const { namespace } = config.temporal;
    const missing = await missingSearchAttributes(client);
    const checks = [ok(AREA, `${config.temporal.address} answers and has the namespace ${namespace}`)];
    checks.push(
      missing.length === 0
        ? ok(AREA, 'the search attributes are registered')
        : fail(AREA, `search attributes are missing: ${missing.join(', ')}`, 'cofre apply registers them'),
    );
    return [...checks, ...(await schedules(client, config)), ...(await workers(client, config))];
  });
}

async function schedules(client: Client, config: Config): Promise<Check[]> {
  const checks: Check[] = [];
  for (const [routine, settings] of Object.entries(config.routines)) {
    const found = await describeRoutine(client, routine);
    if (found === undefined) checks.push(fail(AREA, `the routine ${routine} has no schedule`, 'cofre apply makes it'));
    else if (!isAsWanted(found, routineSchedule(routine, settings)))
      checks.push(warn(AREA, `the schedule of ${routine} is not that of the file`, 'cofre apply puts it right'));
    else if (found.state.paused)
      checks.push(
        warn(
          AREA,
          `the routine ${routine} is paused: ${found.state.note ?? 'no reason given'}`,
          `cofre resume ${routine}`,
        ),
      );
    else checks.push(ok(AREA, `the routine ${routine} has its schedule`));
  }
  return checks;
}

async function workers(client: Client, config: Config): Promise<Check[]> {
  const queues = await queueStatus(client, Object.keys(config.hosts));
  return queues.map(({ host, working }) => {
    if (host === null)
      return working
        ? ok(AREA, 'a worker takes the workflows')
        : fail(AREA, 'no worker takes the workflows', 'start cofre worker');
    return working
      ? ok(AREA, `the worker of ${host} works`)
      : warn(AREA, `no worker of ${host} is running`, `start cofre worker --host ${host}`);
  });
}
