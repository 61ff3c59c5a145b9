import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { toFailure } from '../../activities/step.ts';
import { told } from '../../activities/told.ts';
import { CofreError } from '../../errors/error.ts';

const MEGABYTES = 'x'.repeat(5_000_000);

describe('what a step tells Temporal', () => {
  it('case 126: a failure of megabytes keeps its code, the beginning of each text and its causes', () => {
    const server = new Error(`the server said ${MEGABYTES}`, { cause: new Error(`because ${MEGABYTES}`) });
    const cause = new CofreError('server-denied', `refused: ${MEGABYTES}`, {
      hint: `grant ${MEGABYTES}`,
      cause: server,
    });
    const failure = toFailure(cause, 1, true);
    assert.equal(failure.type, 'server-denied');
    assert.equal(failure.nonRetryable, true);
    assert.match(failure.message, /^refused: xxx/);
    assert.match(String((failure.details as { hint: string }[])[0]?.hint), /^grant xxx.*…$/);
    const texts: string[] = [];
    for (let error: unknown = failure; error instanceof Error; error = error.cause) {
      texts.push(error.message.slice(0, 10), error.name);
      assert.ok(error.message.length + (error.stack ?? '').length < 20_000, error.name);
    }
    const chain = [
      'refused: x',
      'ApplicationFailure',
      'refused: x',
      'CofreError',
      'the server',
      'Error',
      'because xx',
      'Error',
    ];
    assert.deepEqual(texts, chain);
  });

  it('case 126: of a list of any length, its first lines, cut, and how many more there are', () => {
    assert.deepEqual(told(['one', 'two'], 2), ['one', 'two']);
    assert.deepEqual(told(['one', 'two', 'three', 'four'], 3), ['one', 'two', '… and 2 more']);
    const many = told(Array.from({ length: 100_000 }, () => MEGABYTES.slice(0, 2_000)));
    assert.equal(many.length, 20);
    assert.equal(many[0], `${MEGABYTES.slice(0, 999)}…`);
    assert.equal(many.at(-1), '… and 99981 more');
  });
});
