import { durationMs } from '../config/duration.ts';
import type { RoutineConfig } from '../config/schema.ts';

/** When a routine starts. */
export type RoutineTimes = Pick<RoutineConfig, 'at' | 'days' | 'timezone'>;

const WEEKDAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] as const;
const DAY_MS = 86_400_000;
/** Clocks are changed a few times a year, and stay so for a month at least. */
const LOOK_EVERY_MS = 14 * DAY_MS;

/**
 * The first moment after `after` at which clocks in `timezone` show `time` (`HH:MM`).
 * On a day whose clocks skip that time it is the moment at which they would have shown it; where they show it twice, the first.
 */
export function nextTimeOfDay(after: Date, time: string, timezone: string): Date {
  const today = startOfDay(after, timezone);
  for (let day = 0; day <= 2; day += 1) {
    const candidate = toInstant(today + day * DAY_MS + minutesOf(time) * 60_000, timezone);
    if (candidate.getTime() > after.getTime()) return candidate;
  }
  throw new Error(`no ${time} within two days in ${timezone}`);
}

/** The moment at which the routine should have started last, by `now` at the latest; found as `nextTimeOfDay` finds it. */
export function lastSlot(now: Date, { at, days, timezone }: RoutineTimes): Date {
  const today = startOfDay(now, timezone);
  for (let back = 0; back <= 8; back += 1) {
    const day = today - back * DAY_MS;
    const slot = toInstant(day + minutesOf(at) * 60_000, timezone);
    if (slot.getTime() <= now.getTime() && isDay(day, days)) return slot;
  }
  throw new Error(`no ${at} within a week in ${timezone}`);
}

/** Of a routine that would still start what its last slot should have started: that slot, and until when it would. */
export function openWindow(
  now: Date,
  routine: RoutineTimes & Pick<RoutineConfig, 'until' | 'catchUp'>,
): { since: Date; until: Date } | null {
  const since = lastSlot(now, routine);
  const until =
    routine.until === undefined
      ? new Date(since.getTime() + durationMs(routine.catchUp))
      : nextTimeOfDay(since, routine.until, routine.timezone);
  return now.getTime() < until.getTime() ? { since, until } : null;
}

/**
 * Where clocks are put back they show some times twice, and Temporal may start a routine at both or at the second:
 * for such a start, the moment of the first; otherwise null.
 */
export function repeatedSlot(start: Date, times: RoutineTimes): Date | null {
  const shown = (start.getTime() + offsetMs(start, times.timezone)) % DAY_MS;
  const slot = lastSlot(start, times);
  return shown === minutesOf(times.at) * 60_000 && slot.getTime() < start.getTime() ? slot : null;
}

/** A day on which clocks skip the time of a routine, and what they show when they would have shown it. */
export interface SkippedDay {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
}

/** The days of these years on which the routine's time does not exist. */
export function skippedDays({ at, days, timezone }: RoutineTimes, fromYear: number, toYear: number): SkippedDay[] {
  const skipped: SkippedDay[] = [];
  const end = Date.UTC(toYear + 1, 0, 1);
  let offset = offsetMs(new Date(Date.UTC(fromYear, 0, 1)), timezone);
  for (let start = Date.UTC(fromYear, 0, 1); start < end; start += LOOK_EVERY_MS) {
    const next = offsetMs(new Date(start + LOOK_EVERY_MS), timezone);
    const changed = next !== offset;
    offset = next;
    // With a day on each side, because days are local ones.
    const last = changed ? start + LOOK_EVERY_MS + DAY_MS : 0;
    for (let day = start - DAY_MS; day < Math.min(last, end); day += DAY_MS) {
      const wanted = day + minutesOf(at) * 60_000;
      const instant = toInstant(wanted, timezone);
      const shown = new Date(instant.getTime() + offsetMs(instant, timezone));
      if (shown.getTime() === wanted || !isDay(day, days)) continue;
      skipped.push({
        year: shown.getUTCFullYear(),
        month: shown.getUTCMonth() + 1,
        day: shown.getUTCDate(),
        hour: shown.getUTCHours(),
        minute: shown.getUTCMinutes(),
      });
    }
  }
  return skipped;
}

function minutesOf(time: string): number {
  const [hours = 0, minutes = 0] = time.split(':').map(Number);
  return hours * 60 + minutes;
}

/** Midnight of the day that `moment` is in, read as if it were UTC: local days are then 24 hours long. */
function startOfDay(moment: Date, timezone: string): number {
  const localMs = moment.getTime() + offsetMs(moment, timezone);
  return Math.floor(localMs / DAY_MS) * DAY_MS;
}

function isDay(localMs: number, days: RoutineTimes['days']): boolean {
  const weekday = WEEKDAYS[new Date(localMs).getUTCDay()];
  return typeof days === 'string' || (weekday !== undefined && days.includes(weekday));
}

/** The instant whose local time in `timezone` is `localMs` read as if it were UTC. */
export function toInstant(localMs: number, timezone: string): Date {
  const before = localMs - offsetMs(new Date(localMs - DAY_MS), timezone);
  const after = localMs - offsetMs(new Date(localMs + DAY_MS), timezone);
  const earlier = Math.min(before, after);
  const later = Math.max(before, after);
  return new Date(earlier + offsetMs(new Date(earlier), timezone) === localMs ? earlier : later);
}

/** How far clocks in `timezone` are ahead of UTC. */
function offsetMs(instant: Date, timezone: string): number {
  const shown = Object.fromEntries(
    formatOf(timezone)
      .formatToParts(instant)
      .map(({ type, value }) => [type, Number(value)]),
  );
  const { year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0 } = shown;
  return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(instant.getTime() / 1000) * 1000;
}

const formats = new Map<string, Intl.DateTimeFormat>();

function formatOf(timezone: string): Intl.DateTimeFormat {
  const known = formats.get(timezone);
  if (known !== undefined) return known;
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
  formats.set(timezone, format);
  return format;
}
