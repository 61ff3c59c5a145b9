import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, readFile, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { bytesBody } from '../../../destinations/local-file.ts';
import { MARKER } from '../../../destinations/marker.ts';
import { rclonePlace } from '../../../destinations/rclone/place.ts';
import { RcloneDestination } from '../../../destinations/rclone/rclone.ts';
import { isLong } from '../../long.ts';
import { RcloneRemotes, markedFolder, obscured, type Remotes } from '../../rclone.ts';
import { S3Server } from '../../s3-server.ts';
import { SmallDisk } from '../../small-disk.ts';
import { SshServer } from '../../ssh-server.ts';
import { describeDestination, keys, read } from '../contract.ts';

/** Remotes whose objects lie in folders of this machine. */
interface Kind {
  readonly remotes: Remotes;
  /** The remote that keeps its objects in a folder. */
  of(folder: string): string;
  /** The same for who may not write; a read-only mount unless told. */
  denied?(folder: string): string;
  readonly secret?: string;
  /** Files there are files here. */
  readonly isPlain?: boolean;
  end?(): Promise<void>;
}

const SECRET = 'Canary-Crypt-0451';

describeRemote('rclone with a local remote', () =>
  Promise.resolve({ remotes: { here: { type: 'local' } }, of: (folder) => `here:${folder}`, isPlain: true }),
);

test('rclone with a crypt remote: what lies there tells neither names nor bytes', async () => {
  const root = await markedFolder();
  const sealed = { type: 'crypt', remote: `here:${root}/sealed`, password: obscured(SECRET) };
  const remotes = await RcloneRemotes.make({ here: { type: 'local' }, sealed });
  await mkdir(join(root, 'sealed'));
  try {
    await rclonePlace(remotes.config('sealed:')).prepare();
    const destination = new RcloneDestination('sealed', remotes.config('sealed:'));
    const bytes = Buffer.from('plain words '.repeat(20_000));
    await destination.put('acme/backup/data', bytesBody(bytes));
    await assert.rejects(destination.put('acme/backup/data', bytesBody(Buffer.from('x'))), { code: 'already-exists' });
    assert.deepEqual(await keys(destination, 'acme/'), ['acme/backup/data']);
    assert.ok(
      bytes
        .subarray(70_000, 70_100)
        .equals(await read(destination, 'acme/backup/data', { start: 70_000, length: 100 })),
    );
    const files = (await readdir(root, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
    const contents = await Promise.all(files.map(({ parentPath, name }) => readFile(join(parentPath, name), 'latin1')));
    assert.equal(contents.length, 3);
    assert.doesNotMatch(files.map(({ parentPath, name }) => parentPath + name).join(), /acme|backup|data/);
    assert.doesNotMatch(contents.join(), /plain words/);
  } finally {
    await remotes.remove();
    await rm(root, { recursive: true });
  }
});

if (isLong) {
  describeRemote('rclone with a crypt remote', () => {
    const sealed = { type: 'crypt', remote: 'here:/', directory_name_encryption: 'false', filename_encryption: 'off' };
    return Promise.resolve({
      remotes: { here: { type: 'local' }, sealed: { ...sealed, password: obscured(SECRET) } },
      of: (folder) => `sealed:${folder.slice(1)}`,
      secret: SECRET,
    });
  });
  describeRemote('rclone with an sftp remote', async () => {
    const [server, reader] = [await SshServer.start(), await SshServer.start({ readOnly: true })];
    const remote = ({ folder, port }: SshServer): Record<string, string> => ({
      ...{ type: 'sftp', host: '127.0.0.1', port: String(port), user: 'root', shell_type: 'none' },
      ...{ key_file: join(folder, 'user_key'), known_hosts_file: 'none' },
    });
    return {
      remotes: { far: remote(server), reader: remote(reader) },
      of: (folder) => `far:${folder}`,
      denied: (folder) => `reader:${folder}`,
      end: async () => {
        await server.remove();
        await reader.remove();
      },
    };
  });
  describeRemote('rclone with an s3 remote', async () => {
    const server = await S3Server.start();
    const remote = {
      ...{
        type: 's3',
        provider: 'Other',
        endpoint: `http://127.0.0.1:${server.port}`,
        access_key_id: server.accessKeyId,
      },
      secret_access_key: server.secretAccessKey,
      // A folder that was made here is a bucket already, of nobody.
      no_check_bucket: 'true',
    };
    await mkdir(join(server.root, 'bucket'));
    return {
      remotes: { bucket: remote, denied: { ...remote, secret_access_key: 'a-wrong-one-0451' } },
      of: (folder) => `bucket:bucket${folder}`,
      denied: (folder) => `denied:bucket${folder}`,
      secret: server.secretAccessKey,
      end: () => server.stop(),
    };
  });
}

function describeRemote(title: string, start: () => Promise<Kind>): void {
  let kind: Kind;
  let remotes: RcloneRemotes;
  before(async () => {
    kind = await start();
    remotes = await RcloneRemotes.make(kind.remotes);
  });
  after(async () => {
    await kind.end?.();
    await remotes.remove();
  });
  describeDestination(title, async () => {
    const root = await markedFolder();
    const config = remotes.config(kind.of(root));
    if (kind.isPlain !== true) {
      await rm(join(root, MARKER));
      await rclonePlace(config).prepare();
    }
    const disks: SmallDisk[] = [];
    const disk = async (): Promise<string> => {
      const mounted = await SmallDisk.mount('3m');
      disks.push(mounted);
      await rclonePlace(remotes.config(kind.of(mounted.path))).prepare();
      return mounted.path;
    };
    return {
      open: () => new RcloneDestination('drive', config),
      denied: async () => {
        if (kind.denied !== undefined) return new RcloneDestination('drive', remotes.config(kind.denied(root)));
        const path = await disk();
        execFileSync('mount', ['-o', 'remount,ro', path]);
        return new RcloneDestination('drive', remotes.config(kind.of(path)));
      },
      full: async () => new RcloneDestination('full', remotes.config(kind.of(await disk()))),
      cleanUp: async () => {
        const left = await readdir(root, { recursive: true });
        assert.deepEqual(
          left.filter((path) => path.includes('.put-')),
          [],
        );
        for (const mounted of disks) await mounted.unmount();
        await rm(root, { recursive: true });
      },
      ...(kind.secret === undefined ? {} : { secret: kind.secret }),
    };
  });
}
