import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';

import { Client, Connection } from '@temporalio/client';

import { lastSlot, repeatedSlot } from '../../../activities/time-of-day.ts';
import { routineSchedule } from '../../../cli/apply/schedule.ts';
import type { RoutineConfig } from '../../../config/schema.ts';
import { testServers } from '../../servers.ts';

const DAY_MS = 86_400_000;

/** Times that clocks skip or show twice somewhere: at 2 or 3 o'clock, at midnight, before midnight, by half an hour. */
const ROUTINES: readonly [timezone: string, at: string, fromYear: number, toYear: number][] = [
  ['America/Sao_Paulo', '21:00', 2026, 2031],
  // Until 2019 it put its clocks back at midnight.
  ['America/Sao_Paulo', '23:30', 2014, 2020],
  ['Europe/Berlin', '02:00', 2026, 2031],
  ['Europe/Berlin', '02:30', 2026, 2031],
  ['America/New_York', '01:30', 2026, 2031],
  ['Africa/Cairo', '00:00', 2026, 2031],
  ['Africa/Cairo', '23:30', 2026, 2031],
  ['Australia/Lord_Howe', '02:15', 2026, 2031],
  ['UTC', '06:00', 2026, 2031],
];

describe('the schedule of a routine, as the server computes it', () => {
  let client: Client;
  before(async () => {
    client = new Client({ connection: await Connection.connect({ address: testServers().temporal.address }) });
  });
  after(async () => await client.connection.close());

  /** Every start that the server would make, in order. */
  async function startsOf(config: RoutineConfig, from: Date, to: Date): Promise<Date[]> {
    const schedule = routineSchedule(`times-${randomBytes(4).toString('hex')}`, config);
    const handle = await client.schedule.create({ ...schedule, state: { paused: true } });
    const starts: Date[] = [];
    // The server answers with a thousand at most.
    for (let start = from.getTime(); start < to.getTime(); start += 500 * DAY_MS) {
      const end = Math.min(start + 500 * DAY_MS, to.getTime());
      const { startTime } = await client.workflowService.listScheduleMatchingTimes({
        namespace: 'default',
        scheduleId: schedule.scheduleId,
        // The start itself is not in the answer.
        startTime: { seconds: (start / 1000 - 1) as never },
        endTime: { seconds: (end / 1000 - 1) as never },
      });
      starts.push(...(startTime ?? []).map(({ seconds }) => new Date(Number(seconds) * 1000)));
    }
    await handle.delete();
    return starts;
  }

  for (const [timezone, at, fromYear, toYear] of ROUTINES) {
    it(`case 74: makes each slot at ${at} ${timezone} exactly once, from ${fromYear} to ${toYear}`, async () => {
      const config = { at, timezone, days: 'daily', catchUp: '6h', run: 'backupDatabase' } as RoutineConfig;
      const [from, to] = [new Date(Date.UTC(fromYear, 0, 2)), new Date(Date.UTC(toYear, 0, 2))];
      const starts = await startsOf(config, from, to);
      const served = new Map<string, Date>();
      for (const start of starts) {
        const slot = lastSlot(start, config);
        // A repeated start makes only what is missing since the slot, so it is no second night.
        if (served.has(slot.toISOString()))
          assert.deepEqual(repeatedSlot(start, config), slot, `a second night at ${start.toISOString()}`);
        else served.set(slot.toISOString(), start);
        assert.ok(start.getTime() - slot.getTime() <= 3_600_000, `${start.toISOString()} is late for its slot`);
      }
      const days = (to.getTime() - from.getTime()) / DAY_MS;
      assert.equal(served.size, days, 'a slot of each day');
      const named = new Set([...served.keys()].map((slot) => localDay(new Date(slot), timezone)));
      assert.equal(named.size, days, 'each on a day of its own, the 29th of February and the 31st among them');
    });
  }

  it('case 74: on some days of the week only on those, also where clocks skip the time', async () => {
    const config = { at: '02:30', timezone: 'Europe/Berlin', days: ['sun'], catchUp: '6h' } as unknown as RoutineConfig;
    const starts = await startsOf(config, new Date('2027-03-20T00:00:00Z'), new Date('2027-04-05T00:00:00Z'));
    assert.deepEqual(
      starts.map((start) => start.toISOString()),
      ['2027-03-21T01:30:00.000Z', '2027-03-28T01:30:00.000Z', '2027-04-04T00:30:00.000Z'],
    );
  });
});

function localDay(time: Date, timezone: string): string {
  return new Intl.DateTimeFormat('en-CA', { timeZone: timezone, dateStyle: 'short' }).format(time);
}
