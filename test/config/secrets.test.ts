import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { inspect } from 'node:util';

import { loadConfig, loadConnection, loadEnsureConfig } from '../../config/load.ts';
import { resolveSecret } from '../../config/secret.ts';
import { changed, mistakesOf, writeFiles } from './files.ts';

const CANARY = 'hunter2';

describe('a secret that somebody wrote into the file is never printed', () => {
  const places: readonly [title: string, piece: string, by: string][] = [
    ['as the password', 'env:CATALOG', CANARY],
    ['in quotes', 'env:CATALOG', `'${CANARY}'`],
    ['with a comma, in braces', 'env:CATALOG', `x,${CANARY}`],
    ['with a comma and a colon', 'env:B', `x,${CANARY}: y`],
    ['with a brace', 'env:B', `x}${CANARY}`],
    ['without a space', 'password: env:B', `password:${CANARY}`],
    ['that begins with *', 'env:B', `*${CANARY}`],
    ['that begins with &', 'env:B', `&${CANARY} x`],
    ['that begins with !', 'env:B', `!${CANARY}`],
    ['that begins with @', 'env:B', `@${CANARY}`],
    ['that begins with %', 'env:B', `'%${CANARY}`],
    ['with two colons', 'env:B', `a: ${CANARY}`],
    ['with a bad escape', 'env:B', `"\\q${CANARY}"`],
    ['with a control character', 'env:B', `"a\\u0007${CANARY}"`],
    ['as a mapping', 'env:B', `{ ${CANARY}: 1, ${CANARY}: 2 }`],
    ['as a list', 'env:B', `[${CANARY}]`],
    ['with the wrong kind of reference', 'env:B', `file:${CANARY}`],
    ['with a word before it', 'env:B', `plain:${CANARY}`],
    ['in a connection string', 'host: 10.0.0.5', `host: 'postgres://u:${CANARY}@h/d'`],
    ['in a connection string as a name', '  pg-01:', `  "postgres://u:${CANARY}@h":`],
    ['in an unknown field', 'host: erp-01\n', `host: erp-01\napiToken: ${CANARY}\n`],
    ['in an unknown mapping', 'host: erp-01\n', `host: erp-01\ntokens: { a: ${CANARY}, a: ${CANARY} }\n`],
    ['in a field that this version does not have', 'type: directory', `type: s3, secretKey: ${CANARY}`],
    ['for a role', 'env:ACME', `'${CANARY}'`],
  ];
  for (const [title, piece, by] of places) {
    test(title, async () => {
      const path = writeFiles({ 'cofre.yaml': changed([piece, by]) });
      const errors = [await mistakesOf(() => loadConfig(path))];
      for (const load of [loadConnection, loadEnsureConfig]) {
        await load(path).catch((error: unknown) => errors.push(error as (typeof errors)[number]));
      }
      for (const error of errors) {
        const printed = `${inspect(error, { depth: 10, showHidden: true })}${JSON.stringify(error)}${error.message}`;
        assert.ok(!printed.includes(CANARY), printed);
      }
    });
  }

  test('nor when the file is not a configuration at all', async () => {
    for (const content of [
      CANARY,
      `db:5432:*:cofre:${CANARY}`,
      `{"private_key": "${CANARY}"}`,
      `"${CANARY}`,
      `a: b: ${CANARY}`,
    ]) {
      const path = writeFiles({ 'cofre.yaml': content });
      const error = await mistakesOf(() => loadConfig(path));
      assert.ok(!inspect(error, { depth: 10 }).includes(CANARY), error.message);
    }
  });

  test('the message says what is allowed instead', async () => {
    const path = writeFiles({ 'cofre.yaml': changed(['env:CATALOG', CANARY]) });
    const { problems } = await mistakesOf(() => loadConfig(path));
    assert.deepEqual(
      problems.map(({ line, column, field, message }) => `${line}:${column} ${field}: ${message}`),
      [
        '1:69 catalog.password: must be a reference to the secret, env:NAME or file:/absolute/path, never the secret itself',
      ],
    );
  });
});

describe('references', () => {
  test('are read where they point, and the value does not print', async (context) => {
    const folder = mkdtempSync(join(tmpdir(), 'cofre-secret-'));
    context.after(() => rmSync(folder, { recursive: true, force: true }));
    writeFileSync(join(folder, 'p'), `${CANARY}\n`);
    const secret = await resolveSecret(`file:${join(folder, 'p')}`);
    assert.equal(secret.reveal(), CANARY);
    const printed = `${String(secret)} ${JSON.stringify({ secret })} ${inspect({ secret }, { showHidden: true, depth: 9 })}`;
    assert.ok(!printed.includes(CANARY), printed);
  });

  test('that lead nowhere say which', async () => {
    await assert.rejects(resolveSecret('env:COFRE_TEST_NOT_SET'), {
      code: 'secret-missing',
      message: /env:COFRE_TEST_NOT_SET/,
    });
    await assert.rejects(resolveSecret('env:__proto__'), { code: 'secret-missing' });
    await assert.rejects(resolveSecret('file:/none/secret'), {
      code: 'secret-missing',
      message: /file:\/none\/secret/,
    });
  });
});
