import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { exitCodeOf } from '../../cli/exit.ts';
import { bytesInWords, confirm, durationInWords, printable, table } from '../../cli/print.ts';
import { Rates, stepInWords, type StepNow } from '../../cli/progress.ts';
import { clock } from '../../cli/clock.ts';

const STEP: StepNow = { id: '1', doing: 'dump', attempt: 1, state: 'running', queue: undefined, scheduledAt: 0 };

describe('what people read', () => {
  test('bytes and durations are in words', () => {
    assert.deepEqual([0, 999, 1_500, 250_000_000, 3_400_000_000].map(bytesInWords), [
      '0 bytes',
      '999 bytes',
      '1.5 kB',
      '250 MB',
      '3.4 GB',
    ]);
    assert.deepEqual([800, 59_970, 200_000, 7_500_000, 3 * 86_400_000].map(durationInWords), [
      '0.8 s',
      '1 min 0 s',
      '3 min 20 s',
      '2 h 5 min',
      '3 d 0 h',
    ]);
    assert.deepEqual([7_900, 3_723_000].map(clock), ['0:07', '1:02:03']);
  });

  test('what a terminal would obey is written out, and letters of any script are not', () => {
    const name = 'ações\u001b[2J\r\u202ehcor\u0007\u009b1m\u2028 日本\t|\n';
    assert.equal(printable(name), 'ações\\u001b[2J\\u000d\\u202ehcor\\u0007\\u009b1m\\u2028 日本\t|\n');
  });

  test('columns are aligned, and no line ends in blanks', () => {
    assert.equal(
      table([
        ['ID', 'STATE'],
        ['a-long-one', ''],
        ['b', 'complete'],
      ]),
      'ID          STATE\na-long-one\nb           complete',
    );
  });

  test('a step says how much of the estimate is done and how fast, and never that it is past the whole', () => {
    const rates = new Rates();
    assert.equal(rates.of({ ...STEP, bytes: 0 }, 0), undefined);
    const speed = rates.of({ ...STEP, bytes: 50_000_000 }, 2_000);
    assert.equal(
      stepInWords({ ...STEP, bytes: 50_000_000, ofBytes: 200_000_000 }, speed),
      'dump 50.0 MB of about 200 MB (25 %), 25.0 MB/s',
    );
    assert.match(stepInWords({ ...STEP, bytes: 3, ofBytes: 2 }, undefined), /99 %/);
  });

  test('an attempt that begins again is measured anew', () => {
    const rates = new Rates();
    rates.of({ ...STEP, bytes: 90 }, 0);
    assert.equal(rates.of({ ...STEP, attempt: 2, bytes: 10 }, 5_000), undefined);
  });

  test('the exit codes tell usage, refusal and unreachable apart; unknown failures are 1', () => {
    assert.deepEqual(
      ['bad-input', 'no-backup', 'catalog-unavailable', 'tool-failed', 'cancelled'].map(exitCodeOf),
      [2, 3, 4, 1, 1],
    );
  });

  test('a question without a terminal is refused, with --yes it is not asked', async () => {
    const options = { json: false, quiet: true, follow: true, yes: false };
    await assert.rejects(confirm(options, 'really?'), { code: 'bad-input' });
    assert.equal(await confirm({ ...options, yes: true }, 'really?'), true);
  });
});
