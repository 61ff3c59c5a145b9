import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { inspect } from 'node:util';

import { loadConfig, loadConnection, loadEnsureConfig } from '../../config/load.ts';
import { resolveSecret } from '../../config/secret.ts';
import { changed, mistakesOf, WHOLE, writeFiles } from './files.ts';

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
  async function expectSilence(files: Readonly<Record<string, string>>): Promise<void> {
    const path = writeFiles(files);
    const errors: unknown[] = [await mistakesOf(() => loadConfig(path))];
    for (const load of [loadConnection, loadEnsureConfig, (file: string) => loadEnsureConfig(file, 'acme-prod')]) {
      await load(path).catch((error: unknown) => errors.push(error));
    }
    for (const error of errors) {
      const printed = `${inspect(error, { depth: 10, showHidden: true })}${JSON.stringify(error)}${String(error)}`;
      assert.ok(!printed.includes(CANARY), printed);
    }
  }

  for (const [title, piece, by] of places) {
    test(`case 132: a secret ${title}, here or in an included file`, async () => {
      const text = changed([piece, by]);
      await expectSilence({ 'cofre.yaml': text });
      const head = text.split('\n').slice(0, 2).join('\n');
      if (head.includes(CANARY)) return;
      await expectSilence({ 'cofre.yaml': `${head}\ninclude: [more.yaml]\n`, 'more.yaml': text.slice(head.length) });
    });
  }

  test('case 132: what `cofre ensure` reads takes only references either', async () => {
    const text = `servers: { pg: { host: h } }\nenvironments: { a: { database: { server: pg, name: a, owner: a, roles: { a: { password: ${CANARY} } } } } }\n`;
    const error = await mistakesOf(() => loadEnsureConfig(writeFiles({ 'cofre.yaml': text }), 'a'));
    assert.match(error.message, /cofre\.yaml:2:89 .*must be a reference to the secret/);
    assert.ok(!inspect(error, { depth: 10, showHidden: true }).includes(CANARY));
  });

  test('case 132: nor when the file is not a configuration at all', async () => {
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

describe('a connection string with a password that breaks it', () => {
  const strings = [
    `postgres://u:${CANARY}%zz@h:5432/d`,
    `postgresql://u:a/${CANARY}@h/d`,
    `postgres://u:a#${CANARY}@h/d`,
    `u:${CANARY}@h`,
    `host=h password=${CANARY} dbname=d`,
    `h/${CANARY}`,
  ];
  const fields: readonly [title: string, piece: string, before: string][] = [
    ['the host of a server', 'host: 10.0.0.5', 'host: '],
    ['the host of the catalog', 'host: 127.0.0.1', 'host: '],
    ['the address of Temporal', 'host: erp-01\n', 'temporal: { address: '],
    ['a secret', 'env:ACME', ''],
    ['the name of a server', 'server: pg-01', 'server: '],
    ['the port', 'tls: require', 'port: '],
  ];
  for (const [title, piece, before] of fields) {
    test(`case 97: as ${title}, is refused without it`, async () => {
      for (const text of strings) {
        const end = piece.endsWith('\n') ? ' }\n' : '';
        const path = writeFiles({ 'cofre.yaml': changed([piece, `${before}'${text}'${end}`]) });
        const error = await mistakesOf(() => loadConfig(path));
        assert.ok(!inspect(error, { depth: 10, showHidden: true }).includes(CANARY), error.message);
      }
    });
  }

  test('case 97: as the name of a database or a user, is refused without it', async () => {
    for (const text of strings.filter((one) => /:\/\/|password/.test(one))) {
      for (const piece of ['database: cofre,', 'name: acme,', 'user: b,', 'owner: acme,']) {
        const field = piece.split(':')[0] ?? '';
        const path = writeFiles({ 'cofre.yaml': changed([piece, `${field}: '${text}',`]) });
        const error = await mistakesOf(() => loadConfig(path));
        assert.match(error.message, /must be a name alone, not a connection string/);
        assert.ok(!inspect(error, { depth: 10, showHidden: true }).includes(CANARY), error.message);
      }
    }
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

  const unfit: readonly [title: string, content: Buffer | string, message: RegExp][] = [
    ['of two lines', `${CANARY}\n${CANARY}\n`, /has a line break or a NUL in it/],
    ['with a NUL', `${CANARY}\0`, /has a line break or a NUL in it/],
    ['of another encoding', Buffer.from(`${CANARY}ção`, 'latin1'), /is not UTF-8 text/],
    ['that is no password but a whole file', CANARY.repeat(1000), /is not a small file/],
    ['that is empty but for its newline', '\n', /is empty/],
  ];
  for (const [title, content, message] of unfit) {
    test(`case 97: a secret ${title} is refused without it`, async () => {
      const path = writeFiles({ secret: content }).replace('cofre.yaml', 'secret');
      await assert.rejects(resolveSecret(`file:${path}`), (error: Error) => {
        assert.match(error.message, message);
        assert.ok(error.message.includes(`file:${path}`));
        assert.ok(!inspect(error, { depth: 10, showHidden: true }).includes(CANARY));
        return true;
      });
    });
  }

  test('case 97: a secret that is a folder or a pipe is refused, not waited for', async () => {
    const folder = dirname(writeFiles({ 'cofre.yaml': WHOLE }));
    execFileSync('mkfifo', [join(folder, 'pipe')]);
    for (const name of ['', 'pipe']) {
      await assert.rejects(resolveSecret(`file:${join(folder, name)}`), {
        code: 'bad-config',
        message: /not a small file/,
      });
    }
  });
});
