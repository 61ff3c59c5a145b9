import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { loadConfig } from '../../config/load.ts';
import { changed, linesOf, WHOLE, writeFiles } from './files.ts';

const environment = (id: string, rest: string, server = 'pg-01', name = id): string =>
  `  ${id}: { customer: acme, policy: standard, database: { server: ${server}, name: ${name}, owner: o }, ${rest} }\n`;

describe('what is wrong between entries', () => {
  const cases: readonly [title: string, text: string, ...lines: string[]][] = [
    [
      'a host that is none of hosts',
      changed(['host: erp-01\n', 'host: other\n']),
      '2:7 host: there is no other in hosts; known: erp-01',
    ],
    [
      'names of hosts, policies, servers and environments that do not exist',
      `${WHOLE}${environment('b', 'stage: homologation, hosts: [h9], productionOf: nobody', 'pg-99').replace('policy: standard', 'policy: none-such')}routines: { r: { at: "21:00", run: backupDatabase, environments: { names: [acme-prod, gone] } } }\n`,
      '17:32 environments.b.policy: there is no none-such in policies; known: standard',
      '17:63 environments.b.database.server: there is no pg-99 in servers; known: pg-01',
      '17:120 environments.b.hosts[0]: there is no h9 in hosts; known: erp-01',
      '17:139 environments.b.productionOf: there is no nobody in environments; known: acme-prod, b',
      '18:87 routines.r.environments.names[1]: there is no gone in environments; known: acme-prod, b',
    ],
    [
      'two environments on one database',
      `${WHOLE}${environment('b', 'stage: production', 'pg-01', 'acme')}`,
      '17:75 environments.b.database.name: is the database of environment acme-prod already',
    ],
    [
      'two environments on one database, by two names of the server',
      `${changed(['servers:\n', 'servers:\n  pg-02: { host: 10.0.0.5, backup: { user: b, password: env:B }, admin: { user: a, password: env:A } }\n'])}${environment('b', 'stage: production', 'pg-02', 'acme')}`,
      '18:75 environments.b.database.name: is the database of environment acme-prod already (servers pg-01 and pg-02 have the same address)',
    ],
    [
      'the maintenance database',
      changed(['name: acme,', 'name: postgres,']),
      "16:38 environments.acme-prod.database.name: is the maintenance database of server pg-01, not an environment's",
    ],
    [
      'a template',
      changed(['name: acme,', 'name: template1,']),
      "16:38 environments.acme-prod.database.name: is one of PostgreSQL's templates, not an environment's database",
    ],
    [
      'a template for maintenance',
      changed(['tls: require', 'maintenanceDatabase: template1']),
      '6:49 servers.pg-01.maintenanceDatabase: must not be a template: nobody can create a database while somebody is logged in to it',
    ],
    [
      'the catalog',
      changed(['host: 10.0.0.5', 'host: localhost'], ['name: acme,', 'name: cofre,']),
      '16:38 environments.acme-prod.database.name: is the catalog itself: a restore would replace the record of the backups',
    ],
    [
      'a role that PostgreSQL keeps',
      changed(['owner: acme', 'owner: pg_monitor']),
      '16:51 environments.acme-prod.database.owner: is a name that PostgreSQL keeps for itself',
    ],
    [
      'production of production',
      changed(['customer: acme\n', 'customer: acme\n    productionOf: acme-prod\n']),
      '15:5 environments.acme-prod.productionOf: is for homologation and development only; leave it out',
    ],
    [
      "another customer's production, and one that is none",
      `${WHOLE}${environment('b', 'stage: homologation, productionOf: acme-prod').replace('customer: acme', 'customer: evil')}${environment('c', 'stage: development, productionOf: b')}`,
      '17:125 environments.b.productionOf: acme-prod belongs to another customer, whose data must never get here',
      '18:124 environments.c.productionOf: b is not a production environment',
    ],
    [
      'no host at all',
      changed(
        ['hosts:\n  erp-01: { spool: /var/lib/cofre/spool }', 'hosts: {}'],
        ['host: erp-01\n', ''],
        ['hosts: [erp-01]', 'shared: true'],
      ),
      '10:3 environments.acme-prod: no host could back it up: hosts: is empty',
    ],
    [
      'a destination that none of its hosts sees',
      changed(
        ['  erp-01:', '  erp-02: { spool: /spool }\n  erp-01:'],
        ['    customer: acme\n', '    customer: acme\n    hosts: [erp-02]\n'],
      ),
      '16:12 environments.acme-prod.hosts: none of its hosts (erp-02) sees destination volume of policy standard',
    ],
    [
      'more copies than destinations',
      changed(['to: [volume] }', 'to: [volume], complete: 2 }']),
      '10:49 policies.standard.copies.complete: must be at most 1, the number of destinations',
    ],
    [
      'a destination named twice',
      changed(['to: [volume]', 'to: [volume, volume]']),
      '10:38 policies.standard.copies.to[1]: names volume twice',
    ],
    [
      'destinations in one folder',
      changed(
        ['policies:\n', '  second: { type: directory, path: /backups/../backups/, hosts: [erp-01] }\npolicies:\n'],
        ['/backups/../', '/./'],
      ),
      '9:36 destinations.second.path: is the same place as destination volume; each needs its own',
    ],
    [
      'a destination inside another that is shared',
      changed(['policies:\n', '  second: { type: directory, path: /backups/a, shared: true }\npolicies:\n']),
      '9:36 destinations.second.path: is inside destination volume; each needs its own',
    ],
    [
      'the spool in a destination',
      changed(['/var/lib/cofre/spool', '/backups/spool']),
      '4:20 hosts.erp-01.spool: is inside destination volume; work in progress needs its own folder',
    ],
    [
      'a destination in the spool',
      changed(['path: /backups', 'path: /var/lib/cofre/spool/b']),
      '4:20 hosts.erp-01.spool: is around destination volume; work in progress needs its own folder',
    ],
    [
      'a routine that ends as it begins',
      `${WHOLE}routines: { r: { at: "21:00", until: "21:00", run: backupDatabase } }\n`,
      '17:38 routines.r.until: must be another time than at: nothing could start',
    ],
    [
      'copies that come from nowhere known, or go where they come from',
      `${WHOLE}routines: { r: { at: "06:00", run: copyBackups, from: volume, to: [gone, volume] } }\n`,
      '17:68 routines.r.to[0]: there is no gone in destinations; known: volume',
      '17:74 routines.r.to[1]: is where the copies come from',
    ],
    [
      'copies that go nowhere',
      `${WHOLE}routines: { r: { at: "06:00", run: copyBackups } }\n`,
      '17:36 routines.r.run: needs to: [...] beside it, the destinations that get the copies',
    ],
    [
      'destinations for a routine of backups',
      `${WHOLE}routines: { r: { at: "06:00", run: backupDatabase, to: [volume] } }\n`,
      '17:56 routines.r.to: is for run: copyBackups; the policies say where backups are kept',
    ],
    [
      'a routine that compares only a part of its destinations',
      `${WHOLE}routines: { r: { at: "06:00", run: syncCatalog, to: [volume] } }\n`,
      '17:53 routines.r.to: is not for run: syncCatalog, which compares every destination',
    ],
    [
      'a routine for nobody',
      `${WHOLE}routines: { r: { at: "21:00", run: backupDatabase, environments: { stage: homologation } } }\n`,
      '17:66 routines.r.environments: matches no environment: nothing would be backed up',
    ],
    [
      'a run longer than the time to the next',
      changed(['to: [volume] }', 'to: [volume] }, endsWithin: 24h']),
      '10:53 policies.standard.endsWithin: must be shorter than 24h, the time from one run of routine nightly to the next',
    ],
  ];
  for (const [title, text, ...lines] of cases) {
    test(title, async () => {
      assert.deepEqual(
        await linesOf(text),
        lines.map((line) => `cofre.yaml:${line}`),
      );
    });
  }
});

describe('what is allowed, though it may surprise', () => {
  const accepted: readonly [title: string, text: string][] = [
    ['databases whose names differ only in case', `${WHOLE}${environment('b', 'stage: production', 'pg-01', 'Acme')}`],
    [
      'folders that only begin alike',
      changed(['policies:\n', '  second: { type: directory, path: /backups2, hosts: [erp-01] }\npolicies:\n']),
    ],
    [
      'the same folder on hosts that do not share it',
      changed(
        ['policies:\n', '  second: { type: directory, path: /backups, hosts: [erp-02] }\npolicies:\n'],
        ['  erp-01:', '  erp-02: { spool: /spool }\n  erp-01:'],
      ),
    ],
    [
      'a long run in a weekly routine',
      `${changed(['to: [volume] }', 'to: [volume] }, endsWithin: 6d'])}routines: { r: { at: "21:00", days: [sun], run: backupDatabase } }\n`,
    ],
  ];
  for (const [title, text] of accepted) {
    test(title, async () => {
      await loadConfig(writeFiles({ 'cofre.yaml': text }));
    });
  }
});

test('hints tell a careful operator what will not happen', async () => {
  const text = `${changed(
    ['  erp-01:', '  erp-02: { spool: /spool }\n  erp-01:'],
    ['tls: require, ', ''],
  )}${environment('b', 'stage: homologation')}routines: { r: { at: "21:00", run: backupDatabase, environments: { stage: production } } }\n`;
  const { hints } = await loadConfig(writeFiles({ 'cofre.yaml': text }));
  assert.deepEqual(
    hints.map(({ line, field, message }) => `${line} ${field}: ${message}`),
    [
      '18 environments.b: no routine backs it up',
      '18 environments.b.database.owner: is not in roles: on a new server a restore would create it without a password',
      '11 policies.standard.copies.to[0]: host erp-02 serves environments of this policy and does not see volume: its runs end with a copy missing',
      '7 servers.pg-01.host: tls is off: the data cross the network unencrypted',
    ],
  );
});
