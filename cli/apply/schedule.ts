import { createHash } from 'node:crypto';

import {
  ScheduleOverlapPolicy,
  type CalendarSpec,
  type DayOfWeek,
  type Month,
  type ScheduleDescription,
  type ScheduleOptions,
  type ScheduleOptionsStartWorkflowAction,
} from '@temporalio/client';

import { skippedDays } from '../../activities/time-of-day.ts';
import { canonicalJson } from '../../config/applied.ts';
import { durationMs } from '../../config/duration.ts';
import type { RoutineConfig } from '../../config/schema.ts';
import type { runRoutine } from '../../workflows/run-routine.ts';
import { CONTROL_QUEUE } from '../../workflows/queues.ts';
import { searchAttributes } from '../../workflows/search-attributes.ts';

export type RoutineSchedule = ScheduleOptions<ScheduleOptionsStartWorkflowAction<typeof runRoutine>>;

/** In the memo of every schedule that `cofre apply` made: no other schedule is ever removed. */
export const MANAGED_BY = 'cofre';

const PREFIX = 'routine/';
const DAYS = {
  sun: 'SUNDAY',
  mon: 'MONDAY',
  tue: 'TUESDAY',
  wed: 'WEDNESDAY',
  thu: 'THURSDAY',
  fri: 'FRIDAY',
  sat: 'SATURDAY',
} as const;

const MONTHS: readonly Month[] = [
  'JANUARY',
  'FEBRUARY',
  'MARCH',
  'APRIL',
  'MAY',
  'JUNE',
  'JULY',
  'AUGUST',
  'SEPTEMBER',
  'OCTOBER',
  'NOVEMBER',
  'DECEMBER',
];
const FIRST_YEAR = 2026;
const LAST_YEAR = 2050;

export function scheduleId(routine: string): string {
  return `${PREFIX}${routine}`;
}

/** The routine that a schedule belongs to, by its id; undefined for another's schedule. */
export function routineOf(id: string): string | undefined {
  return id.startsWith(PREFIX) ? id.slice(PREFIX.length) : undefined;
}

/** The Temporal Schedule of a routine. Only what and when: which environments is resolved when a run starts. */
export function routineSchedule(routine: string, config: RoutineConfig): RoutineSchedule {
  const spec = { calendars: [calendarOf(config), ...calendarsOfSkippedDays(config)], timezone: config.timezone };
  const policies = {
    overlap: ScheduleOverlapPolicy.SKIP,
    catchupWindow: durationMs(config.catchUp),
    // A failed night must not stop the next.
    pauseOnFailure: false,
  };
  const summary = `${routine}: ${config.run}, ${timesInWords(config)}`;
  const configHash = createHash('sha256')
    .update(canonicalJson({ spec, policies, summary, shape: 1 }))
    .digest('hex');
  const attributes = [{ key: searchAttributes.routine, value: routine }];
  return {
    scheduleId: scheduleId(routine),
    spec,
    policies,
    action: {
      type: 'startWorkflow',
      workflowType: 'runRoutine',
      workflowId: `runRoutine/${routine}`,
      taskQueue: CONTROL_QUEUE,
      args: [{ routine }],
      staticSummary: summary,
      typedSearchAttributes: attributes,
      // Here and not in the schedule's own memo, which cannot be changed later.
      memo: { configHash, managedBy: MANAGED_BY },
    },
    memo: { managedBy: MANAGED_BY },
    typedSearchAttributes: attributes,
  };
}

/** Whether a schedule is what the configuration says: made from it, and its times not changed by hand since. */
export function isAsWanted(found: ScheduleDescription, wanted: RoutineSchedule): boolean {
  const { calendars = [], intervals = [], skip = [], timezone } = found.spec;
  const times = { calendars: calendars.map(({ comment: _, ...calendar }) => calendar), timezone };
  return (
    found.action.memo?.['configHash'] === wanted.action.memo?.['configHash'] &&
    canonicalJson(times) === canonicalJson(wanted.spec) &&
    intervals.length === 0 &&
    skip.length === 0 &&
    canonicalJson(found.policies) === canonicalJson(wanted.policies)
  );
}

/** `daily at 21:00 America/Sao_Paulo`, `mon, fri at 06:00 UTC`. */
export function timesInWords({ at, days, timezone }: RoutineConfig): string {
  return `${typeof days === 'string' ? days : days.join(', ')} at ${at} ${timezone}`;
}

/**
 * A day on which clocks skip the time would have no backup: there the routine starts when they would have shown it.
 * These years always, so that the same configuration makes the same schedule.
 */
function calendarsOfSkippedDays(config: RoutineConfig): CalendarSpec[] {
  return skippedDays(config, FIRST_YEAR, LAST_YEAR).map(({ year, month, day, hour, minute }) => ({
    second: [only(0)],
    minute: [only(minute)],
    hour: [only(hour)],
    dayOfMonth: [only(day)],
    month: [only(MONTHS[month - 1] ?? 'JANUARY')],
    year: [only(year)],
    dayOfWeek: Object.values(DAYS).map(only),
  }));
}

/**
 * Every field with start and end: a range without an end is sent as one that ends at 1, so midnight alone would become
 * midnight and one o'clock. And in the form in which the server gives it back, so that the two can be compared.
 */
function calendarOf({ at, days }: RoutineConfig): CalendarSpec {
  const [hour = 0, minute = 0] = at.split(':').map(Number);
  const wanted = new Set<string>(typeof days === 'string' ? Object.keys(DAYS) : days);
  const names = Object.entries(DAYS).flatMap(([day, name]): DayOfWeek[] => (wanted.has(day) ? [name] : []));
  return {
    second: [only(0)],
    minute: [only(minute)],
    hour: [only(hour)],
    dayOfMonth: [{ start: 1, end: 31, step: 1 }],
    month: [{ start: 'JANUARY', end: 'DECEMBER', step: 1 }],
    year: [],
    dayOfWeek: names.map(only),
  };
}

function only<T>(value: T): { start: T; end: T; step: number } {
  return { start: value, end: value, step: 1 };
}
