import assert from 'node:assert/strict';
import { test } from 'node:test';

import { isBackupId, newBackupId, objectPrefix } from '../../catalog/backup-id.ts';
import { manifestBytes, parseManifest } from '../../catalog/parse-manifest.ts';
import type { Manifest } from '../../catalog/manifest.ts';
import { sampleManifest } from './sample-manifest.ts';

const manifest = sampleManifest('20261120T210000Z-1f3a9c04');

function changed(change: (value: Record<string, unknown>) => void): Buffer {
  const value = structuredClone(manifest) as unknown as Record<string, unknown>;
  change(value);
  return Buffer.from(JSON.stringify(value));
}

test('a manifest comes back from its bytes as it was', () => {
  assert.deepEqual(parseManifest(manifestBytes(manifest)), manifest);
});

test('the same content gives the same bytes, however it was put together', () => {
  const reversed = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(reversed);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value)
        .reverse()
        .map(([key, inner]) => [key, reversed(inner)]),
    );
  };
  const other = reversed(manifest) as Manifest;
  assert.notEqual(JSON.stringify(other), JSON.stringify(manifest));
  assert.deepEqual(manifestBytes(other), manifestBytes(manifest));
});

test('a manifest of a newer format says that this Cofre is too old', () => {
  const bytes = changed((value) => (value['format'] = 2));
  assert.throws(() => parseManifest(bytes), { code: 'bad-content', message: /format 2/, hint: /upgrade/ });
});

test('what is not a manifest is refused, with the place', () => {
  const object = { sizeBytes: 1, sha256: 'd'.repeat(64) };
  const wrong: [string, Buffer, RegExp][] = [
    ['not JSON', Buffer.from('<html>'), /not JSON/],
    ['cut short', manifestBytes(manifest).subarray(0, 900), /not JSON/],
    ['a list', Buffer.from('[]'), /not valid/],
    ['no format', changed((value) => delete value['format']), /format/],
    ['an unknown field', changed((value) => (value['surprise'] = 1)), /surprise/],
    ['another id', changed((value) => (value['backupId'] = '../../etc')), /backupId/],
    ['a path as attempt', changed((value) => (value['attempt'] = '..')), /attempt/],
    ['no objects', changed((value) => (value['objects'] = [])), /objects/],
    [
      'an object outside',
      changed((value) => (value['objects'] = [{ key: 'a2-other/x.tar', ...object }])),
      /objects\.0\.key/,
    ],
    [
      'an object above',
      changed((value) => (value['objects'] = [{ key: 'a1-0badcafe/../x', ...object }])),
      /objects\.0\.key/,
    ],
    [
      'an object twice',
      changed((value) => (value['objects'] = [1, 2].map(() => ({ key: 'a1-0badcafe/x.tar', ...object })))),
      /objects\.1\.key/,
    ],
    ['a negative count', changed((value) => (value['configVersion'] = -1)), /configVersion/],
    ['a local time', changed((value) => (value['snapshotAt'] = '2026-11-20T21:00:00-03:00')), /snapshotAt/],
  ];
  for (const [what, bytes, message] of wrong) {
    assert.throws(() => parseManifest(bytes), { code: 'bad-content', message }, what);
  }
});

test('case 101: a file of a table cannot point out of its folder', () => {
  for (const file of ['../x', '/etc/passwd', 'a/b', '', '.', '-rf', 'a\0b']) {
    const bytes = changed((value) => {
      (value as unknown as { content: { tables: { file: string }[] } }).content.tables[0]!.file = file;
    });
    assert.throws(() => parseManifest(bytes), { code: 'bad-content', message: /content\.tables\.0\.file/ }, file);
  }
});

test('case 101: an object that a manifest names lies in its own attempt, whatever somebody wrote into it', () => {
  const attempt = 'a1-0badcafe';
  const names = ['../x', '%2e%2e', '..', '.', '', 'x/y', 'x\0', 'x\n', 'é', '\u202ex', 'x y', 'x'.repeat(2000)];
  const keys = [
    ...names.map((name) => `${attempt}/${name}`),
    'database.tar',
    '/etc/passwd',
    `../${attempt}/x`,
    'a2-0badcafe/x',
  ];
  for (const key of keys) {
    const bytes = changed((value) => (value['objects'] = [{ key, sizeBytes: 1, sha256: '0'.repeat(64) }]));
    assert.throws(() => parseManifest(bytes), { code: 'bad-content', message: /objects\.0\.key/ }, key);
  }
  for (const wrong of ['..', 'a/b', '', '%2e', '.a', 'a'.repeat(201)]) {
    const bytes = changed((value) => {
      value['attempt'] = wrong;
      value['objects'] = [{ key: `${wrong}/x`, sizeBytes: 1, sha256: '0'.repeat(64) }];
    });
    assert.throws(() => parseManifest(bytes), { code: 'bad-content', message: /attempt/ }, wrong);
  }
  for (const [field, value] of [
    ['backupId', '../../etc'],
    ['environment', { id: '../x', stage: 's', customer: 'c' }],
  ] as const) {
    assert.throws(
      () => parseManifest(changed((manifest) => (manifest[field] = value))),
      { code: 'bad-content' },
      field,
    );
  }
});

test('what could not be read again is not written', () => {
  assert.throws(() => manifestBytes({ ...manifest, host: '' }), { code: 'bad-content' });
});

test('backup ids are UTC, sort by time and make a folder', () => {
  const id = newBackupId(new Date('2026-11-20T21:00:00.999Z'), '1F3A9C04-aaaa-4bbb-8ccc-dddddddddddd');
  assert.equal(id, '20261120T210000Z-1f3a9c04');
  assert.equal(objectPrefix('acme-prod', id), 'acme-prod/20261120T210000Z-1f3a9c04/');
  assert.ok(newBackupId(new Date('2026-11-20T21:00:01Z'), '00000000') > id);
  assert.throws(() => newBackupId(new Date(), 'short'), { code: 'bad-input' });
  for (const bad of ['', '../x', '20261120T210000Z', `${id}x`, ` ${id}`, `${id}\n`])
    assert.equal(isBackupId(bad), false, bad);
  assert.throws(() => objectPrefix('..', id), { code: 'invalid-key' });
  assert.throws(() => objectPrefix('acme/prod', id), { code: 'invalid-key' });
  assert.throws(() => objectPrefix('acme', '..'), { code: 'invalid-key' });
});
