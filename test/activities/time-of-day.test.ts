import assert from 'node:assert/strict';
import { test } from 'node:test';

import { nextTimeOfDay } from '../../activities/time-of-day.ts';

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
    assert.equal(nextTimeOfDay(new Date(after), time, timezone).toISOString(), new Date(expected).toISOString());
  });
}
