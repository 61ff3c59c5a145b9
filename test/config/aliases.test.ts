import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { aliasesIn } from '../../config/alias.ts';
import { loadConfig } from '../../config/load.ts';
import { changed, linesOf, writeFiles } from './files.ts';

const STREAMED = 'pipeline: streamed, copies: { to: [volume], alias: [volume] }';

function withAlias(policy = STREAMED, namespace = '    namespace: acme\n', ...more: [string, string][]): string {
  return changed(
    ['copies: { to: [volume] }', policy],
    ['    customer: acme\n', `    customer: acme\n${namespace}`],
    ...more,
  );
}

describe('an alias for old consumers', () => {
  test('is named after the namespace, in the destinations that publish it', async () => {
    const { config } = await loadConfig(writeFiles({ 'cofre.yaml': withAlias() }));
    assert.deepEqual([...aliasesIn(config, 'volume')], ['acme/database_latest.dump.gz']);
    assert.deepEqual([...aliasesIn(config, 'other')], []);
  });

  const adopting = 'path: /backups, adopt: { dumps: ["{namespace}/database_*.dump.gz"] }';
  const twin = `environments:
  acme-two: { stage: homologation, customer: acme, namespace: acme, policy: standard, database: { server: pg-01, name: two, owner: two } }
`;
  const wrong: [title: string, text: string, says: RegExp][] = [
    ['of a staged dump', withAlias('copies: { to: [volume], alias: [volume] }'), /alias.*needs pipeline: streamed/],
    ['without a namespace', withAlias(STREAMED, ''), /acme-prod.*needs a namespace/],
    [
      'where no copy goes',
      withAlias(STREAMED.replace('alias: [volume]', 'alias: [other]')),
      /other is not one of copies\.to/,
    ],
    [
      'twice in one place',
      withAlias(STREAMED.replace('alias: [volume]', 'alias: [volume, volume]')),
      /names volume twice/,
    ],
    [
      'that another environment publishes',
      withAlias(STREAMED, undefined, ['environments:\n', twin]),
      /is the namespace of acme-/,
    ],
    [
      'that its destination would adopt',
      withAlias(STREAMED, undefined, ['path: /backups', adopting]),
      /fits the alias of acme-prod/,
    ],
    [
      'on a remote of rclone',
      withAlias(STREAMED, undefined, [
        'type: directory, path: /backups, hosts: [erp-01]',
        'type: rclone, remote: "drive:cofre"',
      ]),
      /volume is of type rclone, which cannot replace/,
    ],
  ];
  for (const [title, text, says] of wrong) {
    test(`${title} is refused with its place`, async () => {
      const lines = await linesOf(text);
      assert.ok(
        lines.some((line) => says.test(line)),
        lines.join('\n'),
      );
    });
  }
});
