import assert from 'node:assert/strict';
import { test } from 'node:test';

import { asWritten, failedState, mendFirst, pageText } from '../../workflows/page.ts';

test('the next step stands above the facts, which are cells that nothing breaks out of', () => {
  const text = pageText({
    title: '**Backup of acme-prod**',
    state: '**Done.**',
    next: 'none.',
    facts: [['warning', 'a | b\nc']],
  });
  assert.match(text, /Done[\s\S]*Next step:\*\* none\.[\s\S]*\| warning \| a \\\| b c \|/);
});

test('a command and an example in a hint can be copied from the page', () => {
  // The Temporal UI makes one dash of two and typographic quotes of straight ones, unless they are escaped or code.
  assert.equal(asWritten('cofre ensure x --create-empty'), 'cofre ensure x \\--create-empty');
  assert.equal(asWritten('{"environment": "x"}'), '{\\"environment\\": \\"x\\"}');
  assert.equal(asWritten('run `cofre restore --to "x"` now'), 'run `cofre restore --to "x"` now');
});

test('a failure says its code, its sentence and what to do, also where there is no hint', () => {
  assert.equal(
    failedState({ code: 'no-space', message: 'the disk is full' }),
    '**Failed (no-space):** the disk is full',
  );
  assert.equal(failedState({ code: 'cancelled', message: 'the run was cancelled' }), '**Cancelled.**');
  assert.match(mendFirst({ code: 'unexpected', message: 'no' }), /History/);
});
