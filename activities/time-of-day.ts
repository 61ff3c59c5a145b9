/**
 * The first moment after `after` at which clocks in `timezone` show `time` (`HH:MM`).
 * On a day whose clocks skip that time it is the moment of the change; where they show it twice, the first.
 */
export function nextTimeOfDay(after: Date, time: string, timezone: string): Date {
  const [hours = 0, minutes = 0] = time.split(':').map(Number);
  const local = partsIn(after, timezone);
  for (let day = 0; day <= 2; day += 1) {
    const wanted = Date.UTC(local.year, local.month - 1, local.day + day, hours, minutes);
    const candidate = toInstant(wanted, timezone);
    if (candidate.getTime() > after.getTime()) return candidate;
  }
  throw new Error(`no ${time} within two days in ${timezone}`);
}

/** The instant whose local time in `timezone` is `localMs` read as if it were UTC. */
function toInstant(localMs: number, timezone: string): Date {
  const before = localMs - offsetMs(new Date(localMs - 86_400_000), timezone);
  const after = localMs - offsetMs(new Date(localMs + 86_400_000), timezone);
  const earlier = Math.min(before, after);
  const later = Math.max(before, after);
  return new Date(earlier + offsetMs(new Date(earlier), timezone) === localMs ? earlier : later);
}

function offsetMs(instant: Date, timezone: string): number {
  const { year, month, day, hour, minute, second } = partsIn(instant, timezone);
  return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(instant.getTime() / 1000) * 1000;
}

function partsIn(
  instant: Date,
  timezone: string,
): Record<'year' | 'month' | 'day' | 'hour' | 'minute' | 'second', number> {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone: timezone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  });
  const parts = Object.fromEntries(format.formatToParts(instant).map(({ type, value }) => [type, Number(value)]));
  const { year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0 } = parts;
  return { year, month, day, hour, minute, second };
}
