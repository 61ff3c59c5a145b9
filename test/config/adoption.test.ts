import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { dumpMatcher } from '../../config/adoption.ts';
import { loadConfig } from '../../config/load.ts';
import { changed, writeFiles } from './files.ts';

describe('what another job leaves in a destination', () => {
  test('is told by its name, with its namespace', () => {
    const namespaceOf = dumpMatcher(['{namespace}/database_latest.dump.gz', 'old/{namespace}-*.dump']);
    assert.deepEqual(
      [
        'acme/database_latest.dump.gz',
        'old/acme-2-2026.dump',
        'acme/databaseXlatest.dump.gz',
        'acme/database_latest.dump.gz.part',
        'a/b/database_latest.dump.gz',
        'Acme/database_latest.dump.gz',
        '-/database_latest.dump.gz',
        'old/acme-1/2.dump',
      ].map(namespaceOf),
      ['acme', 'acme-2', undefined, undefined, undefined, undefined, undefined, undefined],
    );
  });

  const wrong: [title: string, dumps: string, says: RegExp][] = [
    ['without a namespace', '["database_*.dump.gz"]', /adopt\.dumps\[0\]: must be names with/],
    ['with two', '["{namespace}/{namespace}.gz"]', /adopt\.dumps\[0\]: must be names with/],
    ['with two stars in one name', '["{namespace}/*_*.dump"]', /adopt\.dumps\[0\]: must be names with/],
    ['that leave the place', '["../{namespace}/x"]', /adopt\.dumps\[0\]: must be names with/],
    ['of no names', '[]', /adopt\.dumps: /],
  ];
  for (const [title, dumps, says] of wrong) {
    test(`patterns ${title} are refused`, async () => {
      const text = changed(['type: directory,', `type: directory, adopt: { dumps: ${dumps} },`]);
      await assert.rejects(loadConfig(writeFiles({ 'cofre.yaml': text })), says);
    });
  }
});
