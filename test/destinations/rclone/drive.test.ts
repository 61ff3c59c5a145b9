import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { inspect } from 'node:util';

import { bytesBody } from '../../../destinations/local-file.ts';
import { rclonePlace } from '../../../destinations/rclone/place.ts';
import { RcloneDestination } from '../../../destinations/rclone/rclone.ts';
import type { CofreError } from '../../../errors/error.ts';
import { DriveDouble, driveError } from '../../drive-double.ts';
import { RcloneRemotes } from '../../rclone.ts';
import { keys, read } from '../contract.ts';

const KEY = 'acme/backup/a1/database.tar';
const GOOD = {
  access_token: 'Canary-Access-0451',
  refresh_token: 'Canary-Refresh-0451',
  expiry: '2099-01-01T00:00:00Z',
};
const EXPIRED = { ...GOOD, expiry: '2020-01-01T00:00:00Z' };
const small = bytesBody(Buffer.from('a small one'));

let double: DriveDouble;
let remotes: RcloneRemotes;
let drive: RcloneDestination;

before(async () => {
  remotes = await RcloneRemotes.make({});
});
after(() => remotes.remove());
beforeEach(async () => {
  double = await DriveDouble.start();
  await remotes.write({ gdrive: double.remote(GOOD) });
  double.add('cofre');
  await rclonePlace(remotes.config('gdrive:cofre')).prepare();
  drive = new RcloneDestination('drive', remotes.config('gdrive:cofre'));
});
afterEach(() => double.stop());

describe('rclone’s Google Drive, with a double of the service', () => {
  test('objects are stored, read, listed and removed as anywhere', async () => {
    // The second is sent in pieces.
    for (const bytes of [Buffer.from('small'), randomBytes(9_000_000)]) {
      await drive.put(KEY, bytesBody(bytes));
      assert.ok(bytes.equals(await read(drive, KEY)));
      assert.ok(bytes.subarray(2, 5).equals(await read(drive, KEY, { start: 2, length: 3 })));
      await drive.put(KEY, bytesBody(bytes));
      await assert.rejects(drive.put(KEY, bytesBody(Buffer.from('other'))), { code: 'already-exists' });
      assert.deepEqual(await keys(drive), [KEY]);
      assert.deepEqual(double.paths(), ['cofre/cofre.json', `cofre/${KEY}`]);
      await drive.discard('acme/backup/a1/');
      assert.deepEqual(await keys(drive), []);
    }
  });

  test('case 38: of several files of one name those that are the same count as one, and others as an error', async () => {
    double.add(`cofre/${KEY}`, 'a small one');
    double.add(`cofre/${KEY}`, 'a small one');
    await drive.put(KEY, small);
    assert.equal((await drive.stat(KEY)).sizeBytes, small.sizeBytes);
    assert.deepEqual(await keys(drive), [KEY]);
    double.add(`cofre/${KEY}`, 'another one');
    for (const call of [() => drive.put(KEY, small), () => drive.stat(KEY), () => drive.get(KEY)])
      await assert.rejects(call, { code: 'already-exists', message: /3 files named/, hint: /lsf --format psi/ });
    await drive.remove(KEY);
    assert.deepEqual(await keys(drive), []);
    double.done = (asked) => {
      if (asked.startsWith('PATCH')) double.add('cofre/acme/backup/manifest.json', 'of another host');
    };
    await assert.rejects(drive.put('acme/backup/manifest.json', small), { code: 'already-exists' });
    double.done = () => undefined;
  });

  test('a token that has expired is renewed in the configuration, also by several at once', async () => {
    await remotes.write({ gdrive: double.remote(EXPIRED) });
    await drive.put(KEY, small);
    await remotes.write({ gdrive: double.remote(EXPIRED) });
    const found = await Promise.all(Array.from({ length: 4 }, () => drive.stat(KEY)));
    assert.deepEqual(new Set(found.map(({ sizeBytes }) => sizeBytes)), new Set([small.sizeBytes]));
    assert.match(await readFile(remotes.file, 'utf8'), /renewed-/);
    assert.deepEqual(await readdir(remotes.folder), ['rclone.conf']);
  });

  test('case 42: a token that is not renewed any more is access-denied, and what was asked goes on once it is', async () => {
    await remotes.write({ gdrive: double.remote(EXPIRED) });
    const body = {
      error: 'invalid_grant',
      error_description: `Token has been expired or revoked. ${GOOD.refresh_token}`,
    };
    double.fault = (asked) => (asked === 'POST /token' ? { status: 400, body } : undefined);
    const error = await failureOf(drive);
    assert.equal(error.code, 'access-denied');
    assert.match(error.message, /invalid_grant/);
    assert.match(error.hint ?? '', /rclone config reconnect/);
    await remotes.write({ gdrive: double.remote(GOOD) });
    await drive.put(KEY, small);
  });

  test('case 44: a clock that is wrong is named', async () => {
    const account = await serviceAccount(join(remotes.folder, 'account.json'));
    await remotes.write({ gdrive: { ...double.remote({}), token: '', service_account_file: account } });
    await drive.put(KEY, small);
    const words = 'Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.';
    const body = { error: 'invalid_grant', error_description: words };
    double.fault = (asked) => (asked === 'POST /token' ? { status: 400, body } : undefined);
    const error = await failureOf(new RcloneDestination('drive', remotes.config('gdrive:cofre')));
    assert.equal(error.code, 'access-denied');
    assert.match(error.hint ?? '', /clock/);
    await rm(account);
  });

  test('case 37: a quota that is full is no-space, and a limit of the service is not', async () => {
    const full = driveError(403, 'storageQuotaExceeded', "The user's Drive storage quota has been exceeded.");
    double.fault = (asked) => (asked.startsWith('POST /upload') ? full : undefined);
    for (const body of [small, bytesBody(randomBytes(9_000_000))])
      await assert.rejects(drive.put(KEY, body), { code: 'no-space', hint: /trash/ });
    const limit = driveError(403, 'userRateLimitExceeded', 'User rate limit exceeded.');
    double.fault = (asked) => (asked.startsWith('POST /upload') ? limit : undefined);
    await assert.rejects(drive.put(KEY, small), { code: 'destination-unavailable', hint: /today/ });
    const denied = driveError(403, 'insufficientFilePermissions', 'The user does not have sufficient permissions.');
    double.fault = (asked) => (asked.startsWith('POST /upload') ? denied : undefined);
    await assert.rejects(drive.put(KEY, small), { code: 'access-denied' });
    double.fault = () => undefined;
    assert.deepEqual(double.paths(), ['cofre/cofre.json']);
  });

  test('case 47: an object that somebody moved to the trash is not-found, and a list that was given up is no list', async () => {
    await drive.put(KEY, small);
    double.fault = (asked, query) =>
      asked === 'GET /drive/v3/files' && !(query.get('q') ?? '').includes('name=')
        ? { status: 200, body: { files: [], incompleteSearch: true } }
        : undefined;
    await assert.rejects(keys(drive), { code: 'destination-unavailable', message: /incomplete/ });
    await assert.rejects(drive.stat(KEY), { code: 'destination-unavailable' });
    double.fault = () => undefined;
    for (const file of double.files.values()) if (file.name === 'database.tar') file.trashed = true;
    await assert.rejects(drive.stat(KEY), { code: 'not-found' });
    assert.deepEqual(await keys(drive), []);
  });
});

async function failureOf(destination: RcloneDestination): Promise<CofreError> {
  try {
    await destination.put(KEY, small);
  } catch (error) {
    assert.doesNotMatch(inspect(error, { depth: 20, showHidden: true }), /Canary/);
    return error as CofreError;
  }
  throw new Error('it worked');
}

/** A key file as Google gives one to a service account. */
async function serviceAccount(path: string): Promise<string> {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const account = {
    ...{
      type: 'service_account',
      client_email: 'cofre@example.iam.gserviceaccount.com',
      private_key_id: 'Canary-Key-0451',
    },
    ...{
      private_key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
      token_uri: 'https://oauth2.googleapis.com/token',
    },
  };
  await writeFile(path, JSON.stringify(account));
  return path;
}
