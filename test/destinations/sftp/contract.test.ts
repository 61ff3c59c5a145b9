import assert from 'node:assert/strict';
import { readdir, rm } from 'node:fs/promises';
import { after, before, test } from 'node:test';

import type { SftpConfig } from '../../../config/destination-schema.ts';
import { bytesBody } from '../../../destinations/local-file.ts';
import { sftpPlace } from '../../../destinations/sftp/place.ts';
import { SftpDestination } from '../../../destinations/sftp/sftp.ts';
import { FaultProxy } from '../../fault-proxy.ts';
import { isLong } from '../../long.ts';
import { SmallDisk } from '../../small-disk.ts';
import { SshServer, type SshServerOptions } from '../../ssh-server.ts';
import { describeDestination, keys, type PreparedPlace } from '../contract.ts';
import { describeReplacing } from '../replacing.ts';

/** What OpenSSH offers beyond version 3 of the protocol and other servers lack; but for how full the disk is, without which none can tell. */
const EXTENSIONS = ['hardlink', 'fsync', 'posix-rename', 'limits', 'lsetstat', 'expand-path'];

describeServer('an SFTP server', {});
describeServer('an SFTP server without extensions', { without: EXTENSIONS });
if (isLong) describeServer('an SFTP server far away', {}, 3);

function describeServer(name: string, options: SshServerOptions, delayMs = 0): void {
  let server: SshServer;
  let proxy: FaultProxy;
  let reader: SshServer;
  let places = 0;
  before(async () => {
    server = await SshServer.start(options);
    reader = await SshServer.start({ ...options, readOnly: true });
    proxy = await FaultProxy.start({ host: '127.0.0.1', port: server.port });
    proxy.delay(delayMs);
  });
  after(async () => {
    await proxy.stop();
    await server.remove();
    await reader.remove();
  });
  const prepare = async (title: string): Promise<PreparedPlace & { config: SftpConfig }> => {
    const root = await server.root(`place-${(places += 1)}`);
    const config = server.config(root, delayMs === 0 ? server.port : proxy.port);
    await sftpPlace(config).prepare();
    const disks: SmallDisk[] = [];
    return {
      config,
      denied: () => Promise.resolve(new SftpDestination('offsite', reader.config(root))),
      full: async () => {
        const disk = await SmallDisk.mount('3m');
        disks.push(disk);
        await sftpPlace({ ...config, path: disk.path }).prepare();
        return new SftpDestination('full', { ...config, path: disk.path });
      },
      open: () => new SftpDestination('offsite', config),
      cleanUp: async () => {
        for (const disk of disks) await disk.unmount();
        const left = await readdir(root, { recursive: true });
        // What a cancelled put has sent is kept, for the next try or until its attempt is discarded.
        const temporaries = left.filter((path) => /(^|\/)\.(claim|put)-/.test(path));
        assert.ok(temporaries.length <= (title.includes('cancelled') ? 1 : 0), `${title}: ${temporaries.join(' ')}`);
        await rm(root, { recursive: true });
      },
    };
  };
  describeDestination(name, prepare);
  if (options.without === undefined) describeReplacing(name, prepare);
  else
    test(`${name} refuses plainly to replace an alias`, async () => {
      const place = await prepare('refused');
      const one = place.open();
      const replacing = one.replace('acme/database_latest.dump.gz', bytesBody(Buffer.from('x')));
      await assert.rejects(replacing, { code: 'refused', message: /posix-rename@openssh.com/ });
      assert.deepEqual(await keys(one), []);
      await one.close();
      await place.cleanUp();
    });
}
