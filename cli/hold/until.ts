import { toInstant } from '../../activities/time-of-day.ts';
import { CofreError } from '../../errors/error.ts';

const TIME = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d))?)?$/;
const WITH_ZONE = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:\d\d)$/;

/**
 * The moment at which a hold ends, ISO 8601 in UTC. A time without a zone is that of the clocks in `timezone`; a day is held to its end.
 * @throws CofreError `bad-input` for what is no time, also for a day that does not exist.
 */
export function untilOf(text: string, timezone: string): string {
  const [, ...parts] = TIME.exec(text) ?? [];
  const [year = 0, month = 0, day = 0, hour, minute, second] = parts.map((part) => Number(part));
  const ofDay = parts[3] === undefined;
  const local = ofDay ? Date.UTC(year, month - 1, day) : Date.UTC(year, month - 1, day, hour, minute, second || 0);
  const shown = ofDay ? text : text.replace(' ', 'T');
  if (parts.length > 0 && !Number.isNaN(local) && new Date(local).toISOString().startsWith(shown))
    return toInstant(ofDay ? Date.UTC(year, month - 1, day + 1) : local, timezone).toISOString();
  const exact = WITH_ZONE.test(text) ? Date.parse(text.replace(' ', 'T')) : Number.NaN;
  if (!Number.isNaN(exact)) return new Date(exact).toISOString();
  throw new CofreError('bad-input', `"${text.slice(0, 40)}" is not a time`, {
    hint: 'write it like 2027-11-20, "2027-11-20 18:00" or 2027-11-20T18:00:00Z',
  });
}
