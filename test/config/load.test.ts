import assert from 'node:assert/strict';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';

import { findConfigPath, loadConfig, loadConnection, loadEnsureConfig } from '../../config/load.ts';
import { changed, linesOf, mistakesOf, WHOLE, writeFiles } from './files.ts';

describe('a configuration without mistakes', () => {
  test('is loaded with its defaults, frozen through and through', async () => {
    const { config, digest, files } = await loadConfig(writeFiles({ 'cofre.yaml': WHOLE }));
    assert.equal(config.temporal.address, '127.0.0.1:7233');
    assert.equal(config.hosts['erp-01']?.keepFree, '10%');
    assert.deepEqual(Object.keys(config.routines), ['nightly']);
    assert.match(digest, /^[0-9a-f]{64}$/);
    assert.equal(files.length, 1);
    const frozen = (value: unknown): boolean =>
      typeof value !== 'object' || value === null || (Object.isFrozen(value) && Object.values(value).every(frozen));
    assert.ok(frozen(config));
  });

  test('has the same digest however it is written, and another when something changes', async () => {
    const digestOf = async (text: string): Promise<string> =>
      (await loadConfig(writeFiles({ 'cofre.yaml': text }))).digest;
    const one = await digestOf(WHOLE);
    const sameThings = changed(
      ['    stage: production\n    customer: acme\n', '    "customer": acme # here\n    stage: production\n'],
      ['host: erp-01\n', ''],
      ['password: env:CATALOG', 'password: env:ELSEWHERE'],
    );
    assert.equal(await digestOf(sameThings), one);
    assert.notEqual(await digestOf(changed(['name: acme,', 'name: acme2,'])), one);
  });

  test('a name that is not there gives nothing, also one that objects are born with', async () => {
    const { config } = await loadConfig(writeFiles({ 'cofre.yaml': WHOLE }));
    assert.equal(config.environments['constructor'], undefined);
    const [line] = await linesOf(changed(['policy: standard', 'policy: constructor']));
    assert.match(line ?? '', /there is no constructor in policies; known: standard$/);
  });

  test('anchors and << work', async () => {
    const text = changed([
      '  acme-prod:\n    stage: production\n    customer: acme\n    policy: standard\n',
      '  other: &defaults { stage: production, customer: acme, policy: standard, database: &db { server: pg-01, name: o, owner: o } }\n' +
        '  third: { <<: *defaults, database: { <<: *db, name: third } }\n' +
        '  acme-prod:\n    <<: *defaults\n    customer: acme2\n',
    ]);
    const { config } = await loadConfig(writeFiles({ 'cofre.yaml': text }));
    assert.equal(config.environments['third']?.database.server, 'pg-01');
    assert.equal(config.environments['third']?.database.name, 'third');
    assert.equal(config.environments['acme-prod']?.customer, 'acme2');
    assert.equal(config.environments['acme-prod']?.policy, 'standard');
  });

  test('the example loads, without anything to say about it', async () => {
    const { config, hints } = await loadConfig('examples/cofre.yaml');
    assert.deepEqual(Object.keys(config.environments), ['acme-prod', 'acme-hml']);
    assert.deepEqual(
      hints.map(({ field, message }) => `${field} ${message}`),
      ['include[0] matches no file'],
    );
  });
});

describe('mistakes', () => {
  test('are all reported at once, in the order of the file, each with its place', async () => {
    const text = changed(
      ['user: cofre, password: env:CATALOG', 'user: cofre'],
      ['    policy: standard\n', '    polcy: standard\n    timezone: Mars/Olympus\n'],
      ['to: [volume]', 'to: [volume, tape]'],
      ['server: pg-01, name', 'server: pg-02, name'],
    );
    assert.deepEqual(await linesOf(text), [
      'cofre.yaml:1:1 catalog.password: is missing',
      'cofre.yaml:10:38 policies.standard.copies.to[1]: there is no tape in destinations; known: volume',
      'cofre.yaml:12:3 environments.acme-prod.policy: is missing',
      'cofre.yaml:15:5 environments.acme-prod.polcy: unknown field; did you mean policy?; allowed: name, stage, customer, namespace, productionOf, policy, hosts, timezone, labels, database',
      'cofre.yaml:16:15 environments.acme-prod.timezone: must be a time zone name, written exactly, such as America/Sao_Paulo',
      'cofre.yaml:17:25 environments.acme-prod.database.server: there is no pg-02 in servers; did you mean pg-01?; known: pg-01',
    ]);
  });

  test('a name that is not allowed does not hide what is wrong behind it', async () => {
    assert.deepEqual(await linesOf(changed(['  acme-prod:', '  Acme PROD:'], ['stage: production', 'stage: prod'])), [
      'cofre.yaml:12:3 environments."Acme…": must be a name of 1 to 63 characters: a-z, 0-9, and - inside',
      'cofre.yaml:13:12 environments."Acme…".stage: must be one of production, homologation, development',
    ]);
  });

  const one: readonly [title: string, piece: string, by: string, line: string][] = [
    [
      'a text that is a number',
      'customer: acme',
      'customer: 12',
      'cofre.yaml:14:15 environments.acme-prod.customer: must be a text; put it in quotes',
    ],
    [
      'a number that is a text',
      'tls: require',
      'port: "x"',
      'cofre.yaml:6:34 servers.pg-01.port: must be a whole number',
    ],
    [
      'a number that is too large',
      'tls: require',
      'port: 70000',
      'cofre.yaml:6:34 servers.pg-01.port: must be at most 65535',
    ],
    [
      'an empty field',
      'customer: acme',
      'customer:',
      'cofre.yaml:14:5 environments.acme-prod.customer: is empty; fill it or leave it out',
    ],
    [
      'an empty section',
      'host: erp-01\n',
      'host: erp-01\nroutines:\n',
      'cofre.yaml:3:1 routines: is empty; fill it or leave it out',
    ],
    [
      'a share of more than all',
      'cofre/spool }',
      'cofre/spool, keepFree: 120% }',
      'cofre.yaml:4:52 hosts.erp-01.keepFree: must be a share such as 20% or a size such as 50GB',
    ],
    [
      'a path that climbs',
      'path: /backups',
      'path: /../backups',
      'cofre.yaml:8:36 destinations.volume.path: must be an absolute path without .., and not the root folder',
    ],
    [
      'the root folder',
      'path: /backups',
      'path: /',
      'cofre.yaml:8:36 destinations.volume.path: must be an absolute path without .., and not the root folder',
    ],
    [
      'a destination that nobody sees',
      ', hosts: [erp-01] }',
      ' }',
      'cofre.yaml:8:11 destinations.volume: needs either hosts: [...] or shared: true',
    ],
    [
      'a time zone in other letters',
      'customer: acme',
      'customer: acme\n    timezone: america/sao_paulo',
      'cofre.yaml:15:15 environments.acme-prod.timezone: must be a time zone name, written exactly, such as America/Sao_Paulo',
    ],
    [
      'a database name that PostgreSQL would cut',
      'name: acme,',
      `name: ${'ã'.repeat(40)},`,
      'cofre.yaml:16:38 environments.acme-prod.database.name: must have at most 63 bytes (an accent is two)',
    ],
    [
      'an unknown top-level field',
      'host: erp-01\n',
      'hots: erp-01\n',
      'cofre.yaml:2:1 hots: unknown field; did you mean hosts?; allowed: temporal, catalog, host, hosts, servers, destinations, policies, environments, routines, include',
    ],
    [
      'a value on two lines',
      'name: acme,',
      'name: "ac\\nme",',
      'cofre.yaml:16:38 environments.acme-prod.database.name: must be one line without control characters',
    ],
  ];
  for (const [title, piece, by, line] of one) {
    test(title, async () => {
      const lines = await linesOf(changed([piece, by]));
      assert.equal(lines[0], line);
      // An empty text in place of what was refused is refused again, at the same place; nothing else is.
      for (const other of lines) assert.equal(other.split(': ')[0], line.split(': ')[0]);
    });
  }

  test('the message has one mistake a line, and stays readable when there are thousands', async () => {
    const many = Array.from({ length: 1000 }, (_, index) => `  e${index}: {}\n`).join('');
    const path = writeFiles({ 'cofre.yaml': WHOLE + many });
    const error = await mistakesOf(() => loadConfig(path));
    assert.equal(error.problems.length, 4000);
    assert.equal(error.message.split('\n').length, 201);
    assert.match(error.message, /… and 3800 more$/);
  });
});

describe('what only a later version has is refused by name', () => {
  const later: readonly [piece: string, by: string, line: string][] = [
    [
      'customer: acme',
      'customer: acme\n    files: [/srv]',
      '15:5 environments.acme-prod.files: not in this version of Cofre; leave it out (nothing of it would be backed up)',
    ],
    [
      'customer: acme',
      'customer: acme\n    keys: [/srv]',
      '15:5 environments.acme-prod.keys: not in this version of Cofre; leave it out (nothing of it would be backed up)',
    ],
    [
      'to: [volume] }',
      'to: [volume] }, encryption: { recipients: [age1x] }',
      '10:41 policies.standard.encryption: not in this version of Cofre; leave it out (copies would not be encrypted)',
    ],
    [
      'to: [volume] }',
      'to: [volume] }, retention: { daily: 7 }',
      '10:41 policies.standard.retention: not in this version of Cofre; leave it out (nothing would ever be deleted)',
    ],
    [
      'to: [volume] }',
      'to: [volume] }, objectives: {}',
      '10:41 policies.standard.objectives: not in this version of Cofre; leave it out (no alarm would fire)',
    ],
  ];
  for (const [piece, by, line] of later) {
    test(line.split(':').slice(1, 3).join(' '), async () => {
      assert.deepEqual(await linesOf(changed([piece, by])), [`cofre.yaml:${line}`]);
    });
  }
});

describe('included files', () => {
  const environment = (id: string): string =>
    `environments:\n  ${id}: { stage: production, customer: c, policy: standard, database: { server: pg-01, name: ${id}, owner: o } }\n`;

  test('are found by pattern, sorted, without hidden ones and folders', async () => {
    const path = writeFiles({
      'cofre.yaml': `${WHOLE}include: [more.d/*.yaml, more.d/b?.yaml]\n`,
      'more.d/b1.yaml': environment('b1'),
      'more.d/a.yaml': environment('a'),
      'more.d/.a.yaml.swp.yaml': 'not: ours',
      'more.d/c.yaml/x': '',
      'more.d/readme.txt': 'not ours',
    });
    const { config, files } = await loadConfig(path);
    assert.deepEqual(Object.keys(config.environments), ['acme-prod', 'a', 'b1']);
    assert.deepEqual(files.map((file) => file.split('/').slice(-2).join('/')).slice(1), [
      'more.d/a.yaml',
      'more.d/b1.yaml',
    ]);
  });

  test('mistakes in them are reported with their own file and line', async () => {
    const lines = await linesOf({
      'cofre.yaml': `${WHOLE}include: [more.d/*]\n`,
      'more.d/a.yaml': `# a comment\n${environment('a').replace('pg-01', 'pg-99')}`,
      'more.d/b.yaml': 'catalog: {}\nnonsense: 1\n',
      'more.d/c.yaml': 'environments: [x\n',
      'more.d/d.yaml': '',
    });
    assert.deepEqual(lines, [
      'more.d/b.yaml:1:1 catalog: belongs into cofre.yaml, not into an included file',
      'more.d/b.yaml:2:1 nonsense: unknown field; allowed in an included file: hosts, servers, destinations, policies, environments, routines',
      'more.d/c.yaml:2:1: not valid YAML: the indentation does not fit the lines above, or a quote or bracket is not closed',
      'more.d/d.yaml:1:1: the file is empty',
    ]);
    const [line] = await linesOf({
      'cofre.yaml': `${WHOLE}include: [more.d/*]\n`,
      'more.d/a.yaml': `# a comment\n${environment('a').replace('pg-01', 'pg-99')}`,
    });
    assert.match(
      line ?? '',
      /^more\.d\/a\.yaml:3:78 environments\.a\.database\.server: there is no pg-99 in servers; known: pg-01$/,
    );
  });

  test('a name defined in two files names both places', async () => {
    const lines = await linesOf({
      'cofre.yaml': `${WHOLE}include: [more.yaml]\n`,
      'more.yaml': environment('acme-prod'),
    });
    assert.deepEqual(lines, ['more.yaml:2:3 environments.acme-prod: acme-prod is defined already at cofre.yaml:12:3']);
  });

  test('a pattern that matches nothing is a mistake unless it has a wildcard, and then a hint', async () => {
    assert.deepEqual(await linesOf(`${WHOLE}include: [more.yaml, other.d/*.yaml]\n`), [
      'cofre.yaml:17:11 include[0]: matches no file',
    ]);
    const { hints } = await loadConfig(writeFiles({ 'cofre.yaml': `${WHOLE}include: [other.d/*.yaml]\n` }));
    assert.ok(hints.some(({ field, line }) => field === 'include[0]' && line === 17));
  });

  test('wildcards that would silently match nothing are refused', async () => {
    const [line] = await linesOf(`${WHOLE}include: ['more.d/*.{yaml,yml}']\n`);
    assert.match(line ?? '', /include\[0\]: the wildcards are \* and \?/);
  });
});

describe('where the configuration is', () => {
  test('a file that was named is not replaced by another', (context) => {
    const here = process.cwd();
    const folder = mkdtempSync(join(tmpdir(), 'cofre-here-'));
    const before = process.env['COFRE_CONFIG'];
    context.after(() => {
      process.chdir(here);
      if (before === undefined) delete process.env['COFRE_CONFIG'];
      else process.env['COFRE_CONFIG'] = before;
    });
    process.chdir(folder);
    process.env['COFRE_CONFIG'] = '';
    assert.throws(() => findConfigPath(), /looked for cofre\.yaml, \/etc\/cofre\/cofre\.yaml/);
    writeFileSync('cofre.yaml', WHOLE);
    assert.equal(findConfigPath(), 'cofre.yaml');
    process.env['COFRE_CONFIG'] = '/none/a.yaml';
    assert.throws(() => findConfigPath(), /looked for \/none\/a\.yaml \(from COFRE_CONFIG\)/);
    assert.throws(() => findConfigPath('/none/b.yaml'), /looked for \/none\/b\.yaml \(from --config\)/);
    assert.equal(findConfigPath('cofre.yaml'), 'cofre.yaml');
  });

  test('a file that cannot be read says so', async () => {
    const error = await mistakesOf(() => loadConfig('/none/cofre.yaml'));
    assert.equal(error.message, '/none/cofre.yaml:1:1: cannot be read (ENOENT)');
    assert.equal((await mistakesOf(() => loadConfig(tmpdir()))).problems[0]?.message, 'is not a regular file');
  });
});

describe('loaders that need only a part', () => {
  test('a worker reads its connection, whatever else is in the file', async () => {
    const path = writeFiles({
      'cofre.yaml':
        'catalog: { host: h, database: c, user: u, password: env:P }\nenvironments: 7\nnonsense: {}\ninclude: [none.yaml]\n',
    });
    const connection = await loadConnection(path);
    assert.equal(connection.catalog.port, 5432);
    assert.equal(connection.temporal.namespace, 'default');
    const wrong = writeFiles({ 'cofre.yaml': 'catalog: { host: h, database: c, user: u }\nhost: X\n' });
    const error = await mistakesOf(() => loadConnection(wrong));
    assert.deepEqual(
      error.problems.map(({ line, field }) => `${line} ${field}`),
      ['1 catalog.password', '2 host'],
    );
  });

  test('ensure reads servers and environments alone', async () => {
    const path = writeFiles({
      'cofre.yaml':
        'servers: { pg: { host: 10.0.0.1 } }\nenvironments: { a: { database: { server: pg, name: a, owner: a }, files: 7 } }\npolicies: 9\n',
    });
    const { environments, servers } = await loadEnsureConfig(path);
    assert.deepEqual({ ...environments['a']?.database }, { server: 'pg', name: 'a', owner: 'a', roles: {} });
    assert.equal(servers['pg']?.port, 5432);
    const wrong = writeFiles({
      'cofre.yaml': 'servers: {}\nenvironments: { a: { database: { server: pg, name: a, owner: a } } }\n',
    });
    const error = await mistakesOf(() => loadEnsureConfig(wrong));
    assert.match(error.message, /environments\.a\.database\.server: there is no pg in servers; it has no entries$/);
  });

  test("another environment's mistake does not keep this one down", async () => {
    const files = {
      'cofre.yaml':
        'servers: { pg: { host: 10.0.0.1 } }\nenvironments: { a: { database: { server: pg, name: a, owner: a } }, b: 3 }\ninclude: [b.yaml]\n',
      'b.yaml': 'environments: [',
    };
    const path = writeFiles(files);
    assert.ok((await loadEnsureConfig(path, 'a')).environments['a']);
    await mistakesOf(() => loadEnsureConfig(path));
    // The broken file may be the one that defines it.
    assert.match((await mistakesOf(() => loadEnsureConfig(path, 'c'))).message, /b\.yaml:1:16: not valid YAML/);
  });
});
