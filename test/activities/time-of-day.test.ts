import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  lastSlot,
  nextTimeOfDay,
  openWindow,
  repeatedSlot,
  skippedDays,
  type RoutineTimes,
} from '../../activities/time-of-day.ts';

const iso = (text: string): string => new Date(text).toISOString();
const times = (at: string, timezone: string, days: RoutineTimes['days'] = 'daily'): RoutineTimes => ({
  at,
  timezone,
  days,
});

const cases: readonly [what: string, after: string, time: string, timezone: string, expected: string][] = [
  ['the same evening', '2026-11-21T00:00:00Z', '05:30', 'America/Sao_Paulo', '2026-11-21T08:30:00Z'],
  ['the next morning', '2026-11-21T09:00:00Z', '05:30', 'America/Sao_Paulo', '2026-11-22T08:30:00Z'],
  ['not the moment itself', '2026-11-21T08:30:00Z', '05:30', 'America/Sao_Paulo', '2026-11-22T08:30:00Z'],
  ['over a month and a leap day', '2028-02-28T23:30:00Z', '00:15', 'UTC', '2028-02-29T00:15:00Z'],
  ['a time that clocks skip', '2026-03-29T00:30:00Z', '02:30', 'Europe/Berlin', '2026-03-29T01:30:00Z'],
  [
    'a time that clocks show twice: the first',
    '2026-10-24T23:00:00Z',
    '02:30',
    'Europe/Berlin',
    '2026-10-25T00:30:00Z',
  ],
];

for (const [what, after, time, timezone, expected] of cases) {
  test(`the end of a night: ${what}`, () => {
    assert.equal(nextTimeOfDay(new Date(after), time, timezone).toISOString(), iso(expected));
  });
}

const slots: readonly [what: string, now: string, routine: RoutineTimes, expected: string][] = [
  ['this evening', '2026-11-21T00:10:00Z', times('21:00', 'America/Sao_Paulo'), '2026-11-21T00:00:00Z'],
  ['the moment itself', '2026-11-21T00:00:00Z', times('21:00', 'America/Sao_Paulo'), '2026-11-21T00:00:00Z'],
  ['yesterday', '2026-11-20T23:59:59Z', times('21:00', 'America/Sao_Paulo'), '2026-11-20T00:00:00Z'],
  ['of the days that it runs on', '2026-11-21T00:10:00Z', times('21:00', 'UTC', ['mon']), '2026-11-16T21:00:00Z'],
  [
    'where clocks were put back: the first',
    '2019-02-17T02:40:00Z',
    times('23:30', 'America/Sao_Paulo'),
    '2019-02-17T01:30:00Z',
  ],
  ['where clocks skipped it', '2026-03-29T02:00:00Z', times('02:30', 'Europe/Berlin'), '2026-03-29T01:30:00Z'],
];

for (const [what, now, routine, expected] of slots) {
  test(`the last slot of a routine: ${what}`, () => {
    assert.equal(lastSlot(new Date(now), routine).toISOString(), iso(expected));
  });
}

test('a night is open from its slot until its end, or as long as a missed start is made up for', () => {
  const nightly = { ...times('21:00', 'America/Sao_Paulo'), catchUp: '6h' };
  const window = (now: string, until?: string): string | undefined =>
    openWindow(new Date(now), { ...nightly, until })?.until.toISOString();
  assert.equal(window('2026-11-21T00:00:00Z', '05:30'), iso('2026-11-21T08:30:00Z'));
  assert.equal(window('2026-11-21T08:30:00Z', '05:30'), undefined);
  assert.equal(window('2026-11-21T05:59:00Z'), iso('2026-11-21T06:00:00Z'));
  assert.equal(window('2026-11-21T06:00:00Z'), undefined);
});

test('a start at a time that clocks show a second time is known, and no other start', () => {
  const routine = times('23:30', 'America/Sao_Paulo');
  const repeated = (start: string): string | undefined => repeatedSlot(new Date(start), routine)?.toISOString();
  assert.equal(repeated('2019-02-17T02:30:00Z'), iso('2019-02-17T01:30:00Z'));
  assert.equal(repeated('2019-02-17T01:30:00Z'), undefined, 'the first');
  assert.equal(repeated('2019-02-17T02:30:01Z'), undefined, 'by hand');
  assert.equal(repeated('2019-02-18T02:30:00Z'), undefined, 'the next night');
});

test('the days on which clocks skip a time are found, with what they show then', () => {
  assert.deepEqual(skippedDays(times('02:30', 'Europe/Berlin'), 2026, 2027), [
    { year: 2026, month: 3, day: 29, hour: 3, minute: 30 },
    { year: 2027, month: 3, day: 28, hour: 3, minute: 30 },
  ]);
  assert.deepEqual(skippedDays(times('02:30', 'Europe/Berlin', ['mon']), 2026, 2027), []);
  assert.deepEqual(skippedDays(times('00:00', 'America/Sao_Paulo'), 2018, 2018), [
    { year: 2018, month: 11, day: 4, hour: 1, minute: 0 },
  ]);
  assert.deepEqual(skippedDays(times('21:00', 'America/Sao_Paulo'), 2026, 2050), []);
});
