import assert from 'node:assert/strict';
import { readdir, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, beforeEach, describe, test } from 'node:test';

import type { S3Config } from '../../../config/destination-schema.ts';
import { checkDestination, type DestinationReport } from '../../../destinations/check/check.ts';
import { s3Place } from '../../../destinations/s3/place.ts';
import { S3Double } from '../../s3-double.ts';
import { S3Server } from '../../s3-server.ts';
import { until } from '../../until.ts';

const server = await S3Server.start();
after(() => server.stop());

describe('the check of a bucket', () => {
  let double: S3Double;
  let config: S3Config;
  beforeEach(async () => {
    double = await S3Double.start(server.port);
    config = await server.bucket({}, double.port);
    await s3Place(config).prepare();
  });
  afterEach(() => double.stop());

  const pathOf = (name: string): string => join(server.root, config.bucket, name);
  const broken = ({ findings }: DestinationReport): string[] =>
    findings.filter(({ kept }) => !kept).map(({ promise }) => promise);
  async function check(): Promise<DestinationReport> {
    const { signal } = new AbortController();
    return await checkDestination('bucket', config, { signal, onFinding: () => undefined, onLeft: () => undefined });
  }

  test('finds a service that ignores conditions, by writers who all believe that they won', async () => {
    let writers = 0;
    let stored = 0;
    double.fault = ({ method, name, headers }) => {
      if (method !== 'PUT' || headers['if-none-match'] !== '*' || !name.endsWith('race')) return {};
      const turn = writers++;
      return {
        // One after the other, so that the server, which keeps conditions, never sees what another one has stored.
        before: async () => {
          await until('all have looked, and it is its turn', () => writers === 4 && stored === turn);
          await rm(pathOf(name), { force: true });
        },
        after: () => Promise.resolve(void (stored += 1)),
      };
    };
    const report = await check();
    assert.deepEqual(broken(report), ['one-writer']);
  });

  test('looks no further where not even the bytes come back', async () => {
    double.fault = ({ method, name }) =>
      method === 'PUT' && name.endsWith('1000000') ? { after: () => truncate(pathOf(name), 10) } : {};
    const report = await check();
    assert.deepEqual(broken(report), ['gives-back']);
    assert.equal(report.findings.length, 1);
    assert.equal(report.speed, undefined);
  });

  test('finds a service that takes an alias away before its new bytes are there', async () => {
    double.fault = ({ method, query, name }) =>
      method === 'POST' && query.has('uploads') && name.endsWith('/database_latest.dump.gz')
        ? { before: () => rm(pathOf(name)) }
        : {};
    const report = await check();
    assert.deepEqual(broken(report), ['replaces-alias']);
    assert.equal(report.left, undefined);
  });

  test('removes what it has stored also where the list does not show it', async () => {
    const text =
      '<ListBucketResult><Name>b</Name><Contents><Key>cofre.json</Key><Size>1</Size></Contents></ListBucketResult>';
    double.fault = ({ query }) => (query.has('list-type') ? { answer: { status: 200, code: '', text } } : {});
    const report = await check();
    assert.deepEqual(broken(report), ['shows-at-once', 'lists-all']);
    assert.equal(report.left, undefined);
    assert.deepEqual(
      (await readdir(pathOf(''), { recursive: true })).filter((name) => name.includes('_check-')),
      [],
    );
  });

  test('says what it could not remove again', async () => {
    double.fault = ({ method, query }) =>
      method === 'DELETE' || query.has('delete') ? { answer: { status: 403, code: 'AccessDenied' } } : {};
    const report = await check();
    assert.deepEqual(broken(report), ['removes']);
    assert.match(report.left ?? '', /^_check-[0-9a-f]{12}\/ is still there/);
  });
});
