import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import type { DestinationConfig } from '../../config/destination-schema.ts';
import type { Body, Destination } from '../../destinations/destination.ts';
import { bytesBody } from '../../destinations/local-file.ts';
import { keys, read, type PreparedPlace } from './contract.ts';
import { gatedBody } from './gated-body.ts';

const ALIAS = 'acme/database_latest.dump.gz';
const KILLED = fileURLToPath(new URL('./killed-replace.js', import.meta.url));

/** What a destination promises of the one object that is replaced. */
export function describeReplacing(
  name: string,
  prepare: (title: string) => Promise<PreparedPlace & { readonly config: DestinationConfig }>,
): void {
  describe(`${name} keeps the contract for an alias`, () => {
    let place: PreparedPlace & { readonly config: DestinationConfig };
    let one: Destination;
    let two: Destination;
    const old = bytesBody(randomBytes(400_000));
    beforeEach(async (context) => {
      place = await prepare(context.name);
      one = place.open();
      two = place.open();
      await one.replace(ALIAS, old);
    });
    afterEach(async () => {
      await one.close();
      await two.close();
      await place.cleanUp();
    });

    async function isOld(): Promise<void> {
      assert.ok((await bytesOf(old)).equals(await read(two, ALIAS)));
      assert.deepEqual(await keys(two), [ALIAS]);
    }

    test('shows the old one whole until the new one is there, and takes the same bytes again', async () => {
      const bytes = randomBytes(3_000_000);
      const body = gatedBody(bytes);
      const replacing = one.replace(ALIAS, body);
      await body.halfWay;
      await isOld();
      const before = await bytesOf(old);
      let ended = false;
      const reading = (async () => {
        for (let reads = 0; !ended || reads === 0; reads += 1) {
          const found = await read(two, ALIAS);
          assert.ok(bytes.equals(found) || before.equals(found), `${found.length} bytes`);
        }
      })();
      body.goOn();
      await replacing.finally(() => (ended = true));
      await reading;
      for (const handle of [one, two]) {
        assert.deepEqual(await handle.replace(ALIAS, bytesBody(bytes)), { key: ALIAS, sizeBytes: 3_000_000 });
      }
      assert.ok(bytes.equals(await read(two, ALIAS)));
      assert.deepEqual(await keys(two), [ALIAS]);
    });

    test('leaves the old one when it is cancelled, when its source fails, and when that lies', async () => {
      const reason = new Error('the operator cancelled');
      const controller = new AbortController();
      const gated = gatedBody(randomBytes(3_000_000));
      const replacing = one.replace(ALIAS, gated, { signal: controller.signal });
      await gated.halfWay;
      controller.abort(reason);
      await assert.rejects(replacing, (error) => error === reason);
      await isOld();
      const honest = bytesBody(randomBytes(500_000));
      const failure = new Error('the dump is gone');
      const failing = (): Readable => Readable.from(failingWith(failure), { objectMode: false });
      await assert.rejects(one.replace(ALIAS, { ...honest, open: failing }), (error) => error === failure);
      await assert.rejects(one.replace(ALIAS, { ...honest, sha256: old.sha256 }), { code: 'bad-content' });
      await isOld();
    });

    test('leaves the old one when its process is killed, and replaces it the next time', async () => {
      const folder = await mkdtemp(join(tmpdir(), 'cofre-replace-'));
      try {
        const bytes = randomBytes(3_000_000);
        await writeFile(join(folder, 'dump'), bytes);
        const child = spawn(process.execPath, [KILLED, JSON.stringify(place.config), join(folder, 'dump'), ALIAS], {
          stdio: ['pipe', 'pipe', 'inherit'],
        });
        await once(child.stdout, 'data');
        child.kill('SIGKILL');
        await once(child, 'close');
        await isOld();
        await one.replace(ALIAS, bytesBody(bytes));
        assert.ok(bytes.equals(await read(two, ALIAS)));
      } finally {
        await rm(folder, { recursive: true });
      }
    });

    test('replaces nothing that is no alias', async () => {
      await one.put('acme/backup/manifest.json', bytesBody(Buffer.from('first')));
      const others = [
        'acme/backup/manifest.json',
        'database_latest.dump.gz',
        'a/b/database_latest.dump.gz',
        '/a',
        '../a',
      ];
      for (const key of [...others, 'cofre.json', '.a/database_latest.dump.gz']) {
        await assert.rejects(one.replace(key, bytesBody(Buffer.from('other'))), { code: 'invalid-key' }, key);
      }
      assert.equal((await read(two, 'acme/backup/manifest.json')).toString(), 'first');
    });
  });
}

async function bytesOf(body: Body): Promise<Buffer> {
  return Buffer.concat(await body.open().toArray());
}

function* failingWith(error: Error): Generator<Buffer> {
  yield Buffer.from('half');
  throw error;
}
