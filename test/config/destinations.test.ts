import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { loadConfig } from '../../config/load.ts';
import { hintsFor } from '../../config/hints.ts';
import { changed, linesOf, writeFiles } from './files.ts';

const KEYS = 'credentials: { accessKeyId: env:ID, secretAccessKey: env:KEY }';

function withBucket(fields: string): string {
  return changed(['policies:\n', `  bucket: { ${fields} }\npolicies:\n`]);
}

describe('a destination of type s3', () => {
  test('is a bucket and what the service is like, and every host reaches it', async () => {
    const text = withBucket(`type: s3, bucket: acme-cofre, region: sa-east-1, ${KEYS}`).replace(
      '[volume]',
      '[volume, bucket]',
    );
    const { config } = await loadConfig(writeFiles({ 'cofre.yaml': text }));
    assert.deepEqual(config.destinations['bucket'], {
      ...{ type: 's3', bucket: 'acme-cofre', region: 'sa-east-1', checksum: 'crc32', partSize: '16MB', connections: 4 },
      credentials: { accessKeyId: 'env:ID', secretAccessKey: 'env:KEY' },
    });
    assert.deepEqual(hintsFor(config), []);
  });

  const wrong: [title: string, fields: string, says: RegExp][] = [
    ['without a bucket', `type: s3, ${KEYS}`, /bucket\.bucket: is missing/],
    ['with a bucket that cannot be', `type: s3, bucket: A_b`, /bucket\.bucket: must be the name of a bucket/],
    [
      'with a folder of another type',
      'type: s3, bucket: abc, path: /backups',
      /path: unknown field; allowed: type, bucket/,
    ],
    ['with an endpoint that is none', 'type: s3, bucket: abc, endpoint: s3.example', /endpoint: must be http/],
    ['with a prefix that leaves it', 'type: s3, bucket: abc, prefix: ../other', /prefix: must be names/],
    ['with parts that S3 does not take', 'type: s3, bucket: abc, partSize: 5MB', /partSize: must be 6MB to 512MB/],
    ['with a key without its encryption', 'type: s3, bucket: abc, kmsKey: k', /kmsKey: needs encryption: kms/],
    [
      'with a secret itself',
      'type: s3, bucket: abc, credentials: { accessKeyId: AKIA, secretAccessKey: env:K }',
      /credentials: must be a reference/,
    ],
    [
      'with half of the credentials',
      'type: s3, bucket: abc, credentials: { accessKeyId: env:I }',
      /credentials: is missing/,
    ],
  ];
  for (const [title, fields, says] of wrong) {
    test(`${title} is refused with its place`, async () => {
      const lines = await linesOf(withBucket(fields));
      assert.ok(
        lines.some((line) => says.test(line)),
        lines.join('\n'),
      );
      assert.ok(!lines.join('\n').includes('AKIA'));
    });
  }

  test('case 130: twice the same bucket and folder is refused', async () => {
    const twice = `type: s3, bucket: abc, prefix: a }\n  other: { type: s3, bucket: abc, prefix: a`;
    const [line] = await linesOf(withBucket(twice));
    assert.match(line ?? '', /destinations\.other\.prefix: is the same place as destination bucket/);
  });

  test('without TLS is a hint, but on this machine', async () => {
    for (const [endpoint, hints] of [
      ['http://10.0.0.9:9000', 1],
      ['http://127.0.0.1:9000', 0],
      ['https://10.0.0.9:9000', 0],
    ] as const) {
      const text = withBucket(`type: s3, bucket: abc, endpoint: "${endpoint}"`);
      const { config } = await loadConfig(writeFiles({ 'cofre.yaml': text }));
      assert.equal(hintsFor(config).length, hints, endpoint);
    }
  });
});

describe('a destination that lies in another one', () => {
  const key = `user: cofre, hostKey: "SHA256:${'a'.repeat(43)}", password: env:P`;
  const nested: [first: string, second: string, says: RegExp][] = [
    ['type: s3, bucket: abc', 'type: s3, bucket: abc, prefix: a', /other\.prefix: is inside destination bucket/],
    ['type: gcs, bucket: abc, prefix: a/b', 'type: gcs, bucket: abc', /other\.bucket: is around destination bucket/],
    [
      `type: sftp, host: s, path: /srv/a, ${key}`,
      `type: sftp, host: s, path: /srv/a/b/, ${key}`,
      /other\.path: is inside destination bucket/,
    ],
    [
      `type: sftp, host: S.example, path: /srv/a, ${key}`,
      `type: sftp, host: s.example, path: /srv/a, ${key}`,
      /other\.path: is the same place as destination bucket/,
    ],
    [
      'type: s3, bucket: abc, endpoint: "https://S3.example"',
      'type: s3, bucket: abc, endpoint: "https://s3.example:443/"',
      /other\.bucket: is the same place as destination bucket/,
    ],
    [
      `type: rclone, remote: "drive:"`,
      `type: rclone, remote: "drive:a"`,
      /other\.remote: is inside destination bucket/,
    ],
  ];
  for (const [first, second, says] of nested) {
    test(`is refused: ${second.split(', ').slice(0, 2).join(', ')}`, async () => {
      const [line = ''] = await linesOf(withBucket(`${first} }\n  other: { ${second}`));
      assert.match(line, says);
    });
  }

  test('is none on another machine, at another service, or from another folder', async () => {
    for (const [first, second] of [
      ['type: rclone, remote: "box:/srv", hosts: [erp-01]', 'type: rclone, remote: "box:/srv/a", hosts: [erp-02]'],
      ['type: rclone, remote: "box:/srv"', 'type: rclone, remote: "box:srv/a"'],
      [
        `type: sftp, host: 127.0.0.1, path: /srv, hosts: [erp-01], ${key}`,
        `type: sftp, host: 127.0.0.1, path: /srv, hosts: [erp-02], ${key}`,
      ],
    ] as const) {
      const text = withBucket(`${first} }\n  other: { ${second}`);
      const two = text.replace('hosts:\n', 'hosts:\n  erp-02: { spool: /var/lib/cofre/spool }\n');
      await loadConfig(writeFiles({ 'cofre.yaml': two }));
    }
  });

  test('is none where only its name begins as that of the other', async () => {
    const text = withBucket('type: s3, bucket: abc, prefix: a }\n  other: { type: s3, bucket: abc, prefix: ab');
    await loadConfig(writeFiles({ 'cofre.yaml': text }));
  });
});

describe('a destination of type gcs', () => {
  test('is a bucket, with credentials by reference, and every host reaches it', async () => {
    const text = withBucket(
      'type: gcs, bucket: acme_cofre.1, prefix: a/b, credentials: file:/etc/cofre/gcs.json',
    ).replace('[volume]', '[volume, bucket]');
    const { config } = await loadConfig(writeFiles({ 'cofre.yaml': text }));
    assert.deepEqual(config.destinations['bucket'], {
      type: 'gcs',
      bucket: 'acme_cofre.1',
      prefix: 'a/b',
      credentials: 'file:/etc/cofre/gcs.json',
    });
    assert.deepEqual(hintsFor(config), []);
  });

  const wrong: [title: string, fields: string, says: RegExp][] = [
    ['with an address for a bucket', 'type: gcs, bucket: "gs://acme"', /bucket\.bucket: must be the name of a bucket/],
    ['with a setting of S3', 'type: gcs, bucket: abc, region: x', /region: unknown field; allowed: type, bucket/],
    ['with a secret itself', 'type: gcs, bucket: abc, credentials: AKIA', /credentials: must be a reference/],
    ['with a prefix that leaves it', 'type: gcs, bucket: abc, prefix: ../other', /prefix: must be names/],
  ];
  for (const [title, fields, says] of wrong) {
    test(`${title} is refused with its place`, async () => {
      const lines = await linesOf(withBucket(fields));
      assert.ok(
        lines.some((line) => says.test(line)),
        lines.join('\n'),
      );
      assert.ok(!lines.join('\n').includes('AKIA'));
    });
  }

  test('case 130: twice the same bucket and folder is refused, and a bucket of the same name at S3 is another', async () => {
    const twice = (first: string): string =>
      withBucket(`type: ${first}, bucket: abc, prefix: a }\n  other: { type: gcs, bucket: abc, prefix: a`);
    const [line] = await linesOf(twice('gcs'));
    assert.match(line ?? '', /destinations\.other\.prefix: is the same place as destination bucket/);
    await loadConfig(writeFiles({ 'cofre.yaml': twice('s3') }));
  });

  test('without TLS is a hint, but on this machine', async () => {
    for (const [endpoint, hints] of [
      ['http://10.0.0.9:4443', 1],
      ['http://127.0.0.1:4443', 0],
    ] as const) {
      const { config } = await loadConfig(
        writeFiles({ 'cofre.yaml': withBucket(`type: gcs, bucket: abc, endpoint: "${endpoint}"`) }),
      );
      assert.equal(hintsFor(config).length, hints, endpoint);
    }
  });
});
