import assert from 'node:assert/strict';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { inspect } from 'node:util';

import type { SftpConfig } from '../../../config/destination-schema.ts';
import { bytesBody } from '../../../destinations/local-file.ts';
import { sftpPlace } from '../../../destinations/sftp/place.ts';
import { SftpDestination } from '../../../destinations/sftp/sftp.ts';
import type { CofreError } from '../../../errors/error.ts';
import { freePort } from '../../../tools/free-port.ts';
import { SshServer } from '../../ssh-server.ts';

const PASSWORD = 'Canary-Pass-0451';

let server: SshServer;
let root: string;
before(async () => {
  server = await SshServer.start({ password: PASSWORD });
  root = await server.root('place');
  await sftpPlace(server.config(root)).prepare();
});
after(() => server.remove());

describe('the way to an SFTP server', () => {
  test('case 40: a changed host key is refused with both fingerprints, and no credential is sent', async () => {
    const pinned = server.config(root);
    await server.stop();
    const known = server.fingerprint('host_key');
    for (const file of ['host_key', 'host_key.pub'])
      await rename(join(server.folder, file), join(server.folder, `old_${file}`));
    server.makeKey('host_key');
    await server.run();
    const shown = server.fingerprint('host_key');
    const logged = (await server.log()).length;
    const error = await failureOf(pinned);
    assert.equal(error.code, 'access-denied');
    assert.ok(error.message.includes(known) && error.message.includes(shown), error.message);
    assert.match(error.hint ?? '', /ssh-keygen -lf/);
    assert.doesNotMatch((await server.log()).slice(logged), /Accepted|Failed|userauth|authenticating/);
    // While a key is being changed both may be pinned.
    await works({ ...pinned, hostKey: [known, shown] });
    await works({ ...pinned, hostKey: shown });
  });

  test('a login by a key with a passphrase, and by a password', async () => {
    server.makeKey('locked_key', 'open sesame');
    await append('authorized_keys', await readFile(join(server.folder, 'locked_key.pub'), 'utf8'));
    await writeFile(join(server.folder, 'passphrase'), 'open sesame\n');
    await writeFile(join(server.folder, 'password'), `${PASSWORD}\n`);
    const locked = { ...server.config(root), privateKey: secret('locked_key') };
    await works({ ...locked, passphrase: secret('passphrase') });
    await works({ ...withoutKey(), password: secret('password') });
    assert.equal((await failureOf(locked)).code, 'bad-config');
    const wrong = await failureOf({ ...locked, passphrase: secret('password') });
    assert.equal(wrong.code, 'bad-config');
    assert.match(wrong.hint ?? '', /passphrase/);
  });

  test('a wrong key, a wrong password and a wrong account are refused, and told without a secret', async () => {
    server.makeKey('stranger_key');
    await writeFile(join(server.folder, 'wrong'), 'Canary-Wrong-0451\n');
    for (const config of [
      { ...server.config(root), privateKey: secret('stranger_key') },
      { ...withoutKey(), password: secret('wrong') },
      { ...server.config(root), user: 'nobody-of-that-name' },
    ]) {
      const error = await failureOf(config);
      assert.equal(error.code, 'access-denied');
      assert.match(error.message, /refuses the login/);
    }
  });

  test('a private key that is none is told without what is in it', async () => {
    await writeFile(join(server.folder, 'garbage'), 'Canary-Garbage-0451\nsecond line\n');
    const error = await failureOf({ ...server.config(root), privateKey: secret('garbage') });
    assert.equal(error.code, 'bad-config');
    assert.equal((await failureOf({ ...server.config(root), privateKey: 'file:/nowhere' })).code, 'secret-missing');
  });

  test('case 42: an account that is closed in the middle is a clean failure, and the upload goes on once it is opened', async () => {
    const keys = await readFile(join(server.folder, 'authorized_keys'), 'utf8');
    const destination = new SftpDestination('offsite', server.config(root));
    await destination.put('before', bytesBody(Buffer.from('x')));
    await destination.close();
    await writeFile(join(server.folder, 'authorized_keys'), '');
    await assert.rejects(destination.put('after', bytesBody(Buffer.from('y'))), { code: 'access-denied' });
    await writeFile(join(server.folder, 'authorized_keys'), keys);
    await destination.put('after', bytesBody(Buffer.from('y')));
    await destination.close();
  });

  test('an account without SFTP, a server that is not there and one that is no SSH server are told apart', async () => {
    const bare = await SshServer.start({ sftp: false });
    try {
      const none = await failureOf(bare.config('/tmp/nothing'));
      assert.equal(none.code, 'access-denied');
      assert.match(none.message, /gives no SFTP/);
    } finally {
      await bare.remove();
    }
    const nobody = await failureOf(server.config(root, await freePort()));
    assert.equal(nobody.code, 'destination-unavailable');
    assert.match(nobody.message, /cannot be reached: .*ECONNREFUSED/);
    assert.equal(
      (await failureOf({ ...server.config(root), host: 'no-such-host.invalid' })).code,
      'destination-unavailable',
    );
  });
});

async function works(config: SftpConfig): Promise<void> {
  const destination = new SftpDestination('offsite', config);
  await destination.identity();
  await destination.close();
}

/** What using it fails with: in no depth of it is a secret. */
async function failureOf(config: SftpConfig): Promise<CofreError> {
  const destination = new SftpDestination('offsite', config);
  try {
    await destination.stat('nothing');
  } catch (error) {
    const text = inspect(error, { depth: 20, showHidden: true });
    assert.doesNotMatch(text, /Canary|PRIVATE KEY|open sesame/);
    return error as CofreError;
  } finally {
    await destination.close();
  }
  throw new Error('it worked');
}

function withoutKey(): SftpConfig {
  const { privateKey: _, ...rest } = server.config(root);
  return rest;
}

function secret(name: string): string {
  return `file:${join(server.folder, name)}`;
}

async function append(name: string, text: string): Promise<void> {
  const path = join(server.folder, name);
  await writeFile(path, (await readFile(path, 'utf8')) + text);
}
