import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { linesOf, WHOLE } from './files.ts';

/** Field, where it stands, and what is said; the same for what stands in an included file. */
type Mistake = readonly [piece: string, by: string, field: string, message: RegExp];

const ROUTINE = (fields: string): readonly [string, string] => [
  'policies:\n',
  `routines: { nightly: { run: backupDatabase, ${fields} } }\npolicies:\n`,
];

const groups: Readonly<Record<string, readonly Mistake[]>> = {
  'an unknown key': [
    ['heavy: 2', 'heavvy: 2', 'hosts.erp-01.heavvy', /unknown field; did you mean heavy\?/],
    ['tls: require', 'tsl: require', 'servers.pg-01.tsl', /unknown field; allowed: host/],
    [
      'hosts: [erp-01]',
      'hosts: [erp-01], compress: yes',
      'destinations.volume.compress',
      /unknown field; allowed: type/,
    ],
    ['owner: acme,', 'owner: acme, encodng: UTF8,', 'environments.acme-prod.database.encodng', /unknown field/],
    [...ROUTINE('at: "21:00", att: 1'), 'routines.nightly.att', /unknown field; did you mean at\?/],
  ],
  'a wrong type': [
    ['heavy: 2', 'heavy: two', 'hosts.erp-01.heavy', /must be a whole number/],
    ['heavy: 2', 'heavy: 2.5', 'hosts.erp-01.heavy', /must be a whole number/],
    ['to: [volume]', 'to: volume', 'policies.standard.copies.to', /must be a list/],
    ['customer: acme', 'customer: [acme]', 'environments.acme-prod.customer', /must be a text/],
    ['type: directory', 'type: 7', 'destinations.volume.type', /must be one of directory/],
    ['stage: production', 'stage: prod', 'environments.acme-prod.stage', /must be one of production, homologation/],
    ['customer: acme', 'customer: acme\n    labels: [a]', 'environments.acme-prod.labels', /must be a mapping/],
  ],
  'the same thing twice': [
    [
      'customer: acme',
      'customer: acme\n    customer: b',
      'environments.acme-prod.customer',
      /defined twice, first in line/,
    ],
    ['policies:\n', '  volume: {}\npolicies:\n', 'destinations.volume', /defined twice/],
    [
      'policies:\n',
      '  second: { type: directory, path: /backups//, hosts: [erp-01] }\npolicies:\n',
      'destinations.second.path',
      /is the same place as destination volume/,
    ],
    [
      'environments:\n',
      'environments:\n  b: { stage: production, customer: c, policy: standard, database: { server: pg-01, name: acme, owner: o } }\n',
      'environments.acme-prod.database.name',
      /is the database of environment b already/,
    ],
    ['to: [volume]', 'to: [volume, volume]', 'policies.standard.copies.to[1]', /names volume twice/],
  ],
  'a number below the least': [
    ['heavy: 2', 'heavy: -2', 'hosts.erp-01.heavy', /must be at least 1/],
    ['tls: require', 'port: -1', 'servers.pg-01.port', /must be at least 1/],
    ['tls: require', 'atOnce: 0', 'servers.pg-01.atOnce', /must be at least 1/],
    ['heavy: 2', 'keepFree: -5%', 'hosts.erp-01.keepFree', /must be a share such as 20%/],
    ['to: [volume] }', 'to: [volume] }, jobs: -1', 'policies.standard.jobs', /must be at least 1/],
    ['to: [volume]', 'to: [volume], complete: -1', 'policies.standard.copies.complete', /must be at least 1/],
    [
      'to: [volume] }',
      'to: [volume] }, keepOldDatabaseFor: -1h',
      'policies.standard.keepOldDatabaseFor',
      /must be a number and m, h or d/,
    ],
    [
      'to: [volume] }',
      'to: [volume] }, ensure: { maxAge: -26h }',
      'policies.standard.ensure.maxAge',
      /must be a number and m, h or d/,
    ],
    [
      'to: [volume] }',
      'to: [volume] }, retention: { daily: -7 }',
      'policies.standard.retention',
      /not in this version/,
    ],
  ],
  'a time that is none': [
    ...['"25:00"', '"21:60"', '"9:00"', '"21h"', '2100', '"* * * * *"', '"21:00:00"', '-1'].map((at): Mistake => [
      ...ROUTINE(`at: ${at}`),
      'routines.nightly.at',
      /must be a time of day such as "21:00"|must be a text; put it in quotes/,
    ]),
    [...ROUTINE('at: "21:00", until: "21:00"'), 'routines.nightly.until', /must be another time than at/],
    [...ROUTINE('at: "21:00", days: [monday]'), 'routines.nightly.days', /must be daily, or a list of mon/],
    [...ROUTINE('at: "21:00", days: []'), 'routines.nightly.days', /must not be empty/],
    [
      ...ROUTINE('at: "21:00", catchUp: 90'),
      'routines.nightly.catchUp',
      /must be a text|must be a number and m, h or d/,
    ],
    [...ROUTINE('at: "21:00", timezone: BRT'), 'routines.nightly.timezone', /must be a time zone name/],
  ],
  'a secret that is missing or no reference': [
    ['backup: { user: b, password: env:B }', 'backup: { user: b }', 'servers.pg-01.backup.password', /is missing/],
    ['password: env:A }', 'password: }', 'servers.pg-01.admin.password', /must be a reference to the secret/],
    ['password: env:A }', 'password: "env:" }', 'servers.pg-01.admin.password', /must be a reference to the secret/],
    [
      'password: env:A }',
      'password: file:secrets/a }',
      'servers.pg-01.admin.password',
      /must be a reference to the secret/,
    ],
    [', admin: { user: a, password: env:A }', '', 'servers.pg-01.admin', /is missing/],
    ['password: env:ACME', 'passwort: env:ACME', 'environments.acme-prod.database.roles.acme.password', /is missing/],
  ],
};

const BASE = WHOLE.replace('spool: /var/lib/cofre/spool }', 'spool: /var/lib/cofre/spool, heavy: 2 }');
const HEAD = BASE.split('\n').slice(0, 2).join('\n');

describe('what cannot be meant is refused when it is loaded', () => {
  for (const [title, mistakes] of Object.entries(groups)) {
    test(`case 129: ${title}: with its file, its line and its field`, async () => {
      for (const [piece, by, field, message] of mistakes) {
        assert.ok(BASE.includes(piece), piece);
        const text = BASE.replace(piece, () => by);
        expectMistake(await linesOf({ 'cofre.yaml': text }), 'cofre.yaml', text, field, message);
        // The same in an included file.
        const rest = text.slice(HEAD.length + 1);
        const files = { 'cofre.yaml': `${HEAD}\ninclude: [all.d/*.yaml]\n`, 'all.d/a.yaml': rest };
        expectMistake(await linesOf(files), 'all.d/a.yaml', rest, field, message);
      }
    });
  }

  /** An environment is backed up whole: a list of its tables would silently miss the table of tomorrow, or one with a typo. */
  const LISTS = ['tables', 'includeTables', 'excludeTables', 'excludeTableData', 'schemas', 'filter'];

  function expectNoList(list: string): Promise<void[]> {
    return Promise.all(
      LISTS.flatMap((field) => [
        expectUnknown('owner: acme,', `owner: acme, ${field}: ${list},`, `environments.acme-prod.database.${field}`),
        expectUnknown('to: [volume] }', `to: [volume] }, ${field}: ${list}`, `policies.standard.${field}`),
      ]),
    );
  }

  test('case 11: a list of what to back up is refused: the whole database is', async () => {
    await expectNoList('[public.orders]');
  });

  test('case 12: a list of what to leave out is refused', async () => {
    await expectNoList('{ not: [public.ordesr] }');
  });

  async function expectUnknown(piece: string, by: string, field: string): Promise<void> {
    const text = BASE.replace(piece, () => by);
    assert.notEqual(text, BASE);
    expectMistake(await linesOf({ 'cofre.yaml': text }), 'cofre.yaml', text, field, /unknown field/);
  }

  function expectMistake(lines: readonly string[], file: string, text: string, field: string, message: RegExp): void {
    const found = lines.map((line) => /^([^:]+):(\d+):(\d+) ([^:]+): (.*)$/.exec(line)?.slice(1) ?? [line]);
    const mine = found.find(([, , , at, said]) => at === field && message.test(said ?? ''));
    assert.ok(mine !== undefined, `${field} ${message} is not in:\n${lines.join('\n')}`);
    assert.equal(mine[0], file);
    const line = text.split('\n')[Number(mine[1]) - 1] ?? '';
    const [last = ''] = field.split('.').slice(-1);
    const [, before = ''] = field.split('.').reverse();
    const named = [last.replace(/\[\d+\]$/, ''), before].some((name) => line.includes(name));
    assert.ok(named, `line ${mine[1]} is "${line}", and has nothing of ${field}`);
  }
});
