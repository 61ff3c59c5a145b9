import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';

import { parseDocument } from 'yaml';

import { loadConfig } from '../../config/load.ts';
import { changed, linesOf, mistakesOf, WHOLE, writeFiles } from './files.ts';

describe('what is not a configuration is refused with its place', () => {
  const cases: readonly [title: string, text: string | Buffer, line: RegExp][] = [
    ['an empty file', '', /^cofre\.yaml:1:1: the file is empty$/],
    ['a file of comments', '# nothing\n', /^cofre\.yaml:\d:1: the file is empty$/],
    ['a list', '- a\n- b\n', /^cofre\.yaml:1:1: must be a mapping of fields/],
    ['a text', 'hello\n', /^cofre\.yaml:1:1: must be a mapping of fields/],
    ['a tab', 'hosts:\n\terp-01: {}\n', /^cofre\.yaml:2:1: not valid YAML: a tab; indent with spaces$/],
    ['a bracket that is not closed', 'hosts: {\n', /^cofre\.yaml:2:1: not valid YAML: /],
    [
      'a key given twice',
      changed(['    customer: acme\n', '    customer: acme\n    customer: b\n']),
      /^cofre\.yaml:15:5 environments\.acme-prod\.customer: defined twice, first in line 14$/,
    ],
    [
      'an environment given twice',
      `${WHOLE}  acme-prod: {}\n`,
      /^cofre\.yaml:17:3 environments\.acme-prod: defined twice, first in line 12$/,
    ],
    ['two documents', `${WHOLE}---\na: 1\n`, /^cofre\.yaml:17:1: not valid YAML: a second document begins here/],
    ['a tag', 'host: !thing x\n', /^cofre\.yaml:1:7: not valid YAML: a value that begins with !/],
    ['YAML 1.1, where no is false', `%YAML 1.1\n---\n${WHOLE}`, /^cofre\.yaml:1:1: leave out the %YAML line/],
    ['an alias of nothing', 'host: *nothing\n', /^cofre\.yaml:1:7 host: an alias \(\*name\) of nothing defined above/],
    [
      'an alias of what it stands in',
      'hosts: &a { x: *a }\n',
      /^cofre\.yaml:1:16 hosts\.x: an alias \(\*name\) of what it stands in$/,
    ],
    ['a NUL byte', 'host: a\nhosts: \0\n', /^cofre\.yaml:2:8: a control character; the file must be plain text$/],
    [
      'a NUL in quotes',
      changed(['owner: acme,', 'owner: "ac\\0me",']),
      /database\.owner: must be one line without control characters$/,
    ],
    [
      'a NUL in a name',
      changed(['roles: { acme:', 'roles: { "a\\0b":']),
      /database\.roles: a field needs a plain name$/,
    ],
    ['another encoding than UTF-8', Buffer.from('name: S\xe3o\n', 'latin1'), /^cofre\.yaml:1:1: is not UTF-8 text$/],
    [
      'a prototype',
      changed(['environments:\n', 'environments:\n  __proto__: { polluted: true }\n']),
      /^cofre\.yaml:12:3 environments: a field needs a plain name$/,
    ],
    ['a key that is a list', '? [a, b]\n: 1\n', /^cofre\.yaml:1:3: a field needs a plain name$/],
  ];
  for (const [title, text, expected] of cases) {
    test(title, async () => {
      const lines = await linesOf({ 'cofre.yaml': text });
      assert.ok(
        lines.some((line) => expected.test(line)),
        lines.join('\n'),
      );
    });
  }

  test('a prototype is not polluted, wherever it is tried', async () => {
    for (const text of [
      '__proto__: { polluted: 1 }\n',
      'hosts: { __proto__: { polluted: 1 } }\n',
      'hosts: { constructor: { prototype: { polluted: 1 } } }\n',
    ]) {
      await linesOf(text);
    }
    assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
  });

  test('very long names and values are refused, and not printed in full', async () => {
    const long = 'x'.repeat(100_000);
    for (const text of [
      changed(['  acme-prod:', `  ${long}:`]),
      changed(['policy: standard', `policy: ${long}`]),
      `"${long}": 1\n`,
    ]) {
      const path = writeFiles({ 'cofre.yaml': text });
      assert.ok((await mistakesOf(() => loadConfig(path))).message.length < 5_000);
    }
  });

  test('names cannot play tricks with a terminal', async () => {
    const lines = await linesOf(changed(['  acme-prod:', '  "a\u202egnp.exe\u001b[2J":']));
    for (const line of lines) assert.doesNotMatch(line, /[\u0000-\u001f\u202e]/);
  });

  test('deep nesting ends with a mistake, not with the process', async () => {
    const deep = [`host: ${'['.repeat(3_000)}${']'.repeat(3_000)}\n`, `host: ${'['.repeat(60)}${']'.repeat(60)}\n`];
    deep.push(Array.from({ length: 2_000 }, (_, level) => `${' '.repeat(level)}a:\n`).join(''));
    for (const text of deep) assert.match((await linesOf(text))[0] ?? '', /nested too deeply$/);
  });

  test('a billion laughs are refused at once', async () => {
    const levels = Array.from(
      { length: 30 },
      (_, level) => `l${level + 1}: &l${level + 1} [${`*l${level}, `.repeat(10)}]\n`,
    );
    const start = performance.now();
    assert.match((await linesOf(`l0: &l0 [x]\n${levels.join('')}`))[0] ?? '', /aliases \(\*name\) repeat too much$/);
    assert.ok(performance.now() - start < 1_000);
  });
});

describe('large fleets', () => {
  const environments = Array.from(
    { length: 10_000 },
    (_, index) =>
      `  fleet-${index}: { stage: production, customer: c, policy: standard, database: { server: pg-01, name: f${index}, owner: o } }\n`,
  );

  test('ten thousand environments load in little more time than the YAML library needs to parse them', async () => {
    const path = writeFiles({ 'cofre.yaml': WHOLE + environments.join('') });
    const parseStart = performance.now();
    parseDocument(readFileSync(path, 'utf8'), { uniqueKeys: false });
    const parseMs = performance.now() - parseStart;
    const start = performance.now();
    const { config } = await loadConfig(path);
    const loadMs = performance.now() - start;
    assert.equal(Object.keys(config.environments).length, 10_001);
    assert.ok(loadMs < 3 * parseMs, `${Math.round(loadMs)} ms to load, ${Math.round(parseMs)} ms to parse`);
  });

  test('ten thousand mistakes take no longer', async () => {
    const path = writeFiles({
      'cofre.yaml': WHOLE + environments.join('').replaceAll('server: pg-01', 'server: pg-99'),
    });
    const start = performance.now();
    assert.equal((await mistakesOf(() => loadConfig(path))).problems.length, 10_000);
    assert.ok(performance.now() - start < 20_000);
  });
});
