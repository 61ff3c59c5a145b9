import type { Client, ScheduleDescription, ScheduleHandle } from '@temporalio/client';

import { scheduleId } from './apply/schedule.ts';
import { describeRoutine, managedRoutines } from './apply/schedules.ts';
import { notKnown } from './environment.ts';

/** A routine's schedule in Temporal. @throws CofreError `not-known`, naming the routines that there are. */
export async function openRoutine(
  client: Client,
  routine: string,
): Promise<{ handle: ScheduleHandle; description: ScheduleDescription }> {
  const description = await describeRoutine(client, routine);
  if (description === undefined) throw notKnown('routine', routine, await managedRoutines(client));
  return { handle: client.schedule.getHandle(scheduleId(routine)), description };
}

/** A time for people, on the clocks of a time zone: `Sat 2026-11-21 21:00 America/Sao_Paulo`. */
export function timeInWords(time: Date, timezone = 'UTC'): string {
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone: timezone,
    weekday: 'short',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
  });
  const part = Object.fromEntries(format.formatToParts(time).map(({ type, value }) => [type, value]));
  return `${part['weekday']} ${part['year']}-${part['month']}-${part['day']} ${part['hour']}:${part['minute']} ${timezone}`;
}
