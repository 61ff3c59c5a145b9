import assert from 'node:assert/strict';
import { test } from 'node:test';

import { holdBytes, HOLD_MAX_BYTES, isSameHold, parseHold, type Hold } from '../../catalog/hold.ts';
import { CofreError } from '../../errors/error.ts';
import { untilOf } from '../../cli/hold/until.ts';

const of = { environment: 'acme-prod', backupId: '20261120T210000Z-1f3a9c04' };
const hold: Hold = {
  id: '3b1f8a52-6a1e-4c35-9c0e-0d1b8f6c7a11',
  ...of,
  reason: 'processo nº 4711, “segredo de justiça”',
  until: '2027-11-21T03:00:00.000Z',
  setBy: 'ana@erp-01',
  setAt: '2026-11-27T01:00:00.000Z',
};
const file = { format: 1, ...hold };

function whyNot(content: Buffer | string): string {
  try {
    parseHold(Buffer.from(content), of);
  } catch (error) {
    assert.ok(error instanceof CofreError && error.code === 'bad-content', String(error));
    assert.ok(error.message.length < 300, error.message);
    return error.message;
  }
  return 'it was taken';
}

test('the file of a hold is read as it was written, and is small', () => {
  const bytes = holdBytes(hold);
  assert.ok(isSameHold(parseHold(bytes, of), hold));
  assert.equal(bytes.toString('utf8').split('\n')[0], '{');
  assert.deepEqual(Object.keys(JSON.parse(bytes.toString('utf8')) as object), [
    ...['format', 'id', 'backupId', 'environment', 'reason', 'until', 'setBy', 'setAt'],
  ]);
  const longest = { ...hold, reason: '界'.repeat(500), setBy: 'x'.repeat(200) };
  assert.ok(holdBytes(longest).length < HOLD_MAX_BYTES / 4);
});

const bad: readonly [what: string, content: Buffer | string, why: RegExp][] = [
  ['nothing', '', /not JSON/],
  ['a part of one', holdBytes(hold).subarray(0, 80), /not JSON/],
  ['what is not UTF-8', Buffer.from([0x22, 0xff, 0xfe, 0x22]), /not JSON/],
  ['no object', '[]', /not valid/],
  ['null', 'null', /not valid/],
  ['too much', JSON.stringify({ ...file, reason: 'x'.repeat(HOLD_MAX_BYTES) }), /larger than 16384 bytes/],
  ['deep nesting', '['.repeat(8_000) + ']'.repeat(8_000), /not valid|not JSON/],
  ['a newer format', JSON.stringify({ ...file, format: 2 }), /format 2, and this Cofre knows 1/],
  ['no format', JSON.stringify(hold), /not valid: format/],
  ['a field that nobody knows', JSON.stringify({ ...file, forever: true }), /not valid/],
  ['a prototype', `{"__proto__": {"format": 1}, ${JSON.stringify(file).slice(1)}`, /not valid/],
  ['another backup', JSON.stringify({ ...file, backupId: '20261120T210000Z-00000000' }), /hold of acme-prod/],
  ['another environment', JSON.stringify({ ...file, environment: 'acme-hml' }), /hold of acme-hml/],
  ['a path for an environment', JSON.stringify({ ...file, environment: '../acme' }), /not valid: environment/],
  ['no reason', JSON.stringify({ ...file, reason: '' }), /not valid: reason/],
  ['a reason that paints terminals', JSON.stringify({ ...file, reason: '\u001b[2J' }), /not valid: reason/],
  ['a reason of two lines', JSON.stringify({ ...file, reason: 'a\nb' }), /not valid: reason/],
  ['no end', JSON.stringify({ ...file, until: null }), /not valid: until/],
  ['an end that is no time', JSON.stringify({ ...file, until: 'forever' }), /not valid: until/],
  ['an end in no known zone', JSON.stringify({ ...file, until: '2027-11-21T03:00:00' }), /not valid: until/],
  ['a day that does not exist', JSON.stringify({ ...file, until: '2027-02-30T00:00:00.000Z' }), /not valid: until/],
  [
    'an end in the year 0',
    JSON.stringify({ ...file, until: '0000-01-01T00:00:00.000Z' }),
    /not valid: until: a time from/,
  ],
  ['an id that is none', JSON.stringify({ ...file, id: "1' OR 1" }), /not valid: id/],
];

for (const [what, content, why] of bad) {
  test(`the file of a hold with ${what} is refused`, () => assert.match(whyNot(content), why));
}

test('the end of a hold is a day to its end, or a time, on the clocks of the environment unless a zone is given', () => {
  const zone = 'America/Sao_Paulo';
  const ends: readonly [text: string, utc: string][] = [
    ['2027-11-20', '2027-11-21T03:00:00.000Z'],
    ['2027-12-31', '2028-01-01T03:00:00.000Z'],
    ['2027-11-20 18:00', '2027-11-20T21:00:00.000Z'],
    ['2027-11-20T18:00:30', '2027-11-20T21:00:30.000Z'],
    ['2027-11-20T18:00Z', '2027-11-20T18:00:00.000Z'],
    ['2027-11-20T18:00:00+02:00', '2027-11-20T16:00:00.000Z'],
  ];
  for (const [text, utc] of ends) assert.equal(untilOf(text, zone), utc, text);
  for (const text of [
    '',
    'forever',
    '2027',
    '20.11.2027',
    '2027-02-30',
    '2027-13-01',
    '2027-11-20 25:00',
    '2027-11-20Z',
  ])
    assert.throws(() => untilOf(text, zone), { code: 'bad-input' }, text);
});
