import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { sftpPlace } from '../destinations/sftp/place.ts';
import { SftpDestination } from '../destinations/sftp/sftp.ts';
import { SshServer } from '../test/ssh-server.ts';
import type { Bench } from './bench.ts';
import type { Contestant, Result } from './contest.ts';
import { makeObject, race } from './object.ts';

const run = promisify(execFile);
/** There and back. */
const DELAY_MS = 20;

/** One object to an SFTP server and back, beside OpenSSH's own client: next door, and far away. */
export async function sftp(bench: Bench): Promise<Result[]> {
  const server = await SshServer.start();
  // A process of its own: what it costs is not ours.
  const far = spawn(process.execPath, [delayProxy, String(server.port), String(DELAY_MS / 2)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    const [farPort] = (await once(far.stdout, 'data')) as [Buffer];
    const root = await server.root('bench');
    await sftpPlace(server.config(root)).prepare();
    const file = await makeObject(bench, 'sftp-object');
    const stored = join(root, '.stock');
    const results: Result[] = [];
    for (const [where, port] of [
      ['next door', server.port],
      [`${DELAY_MS} ms away`, Number(farPort.toString())],
    ] as const) {
      const way = (name: string, command: string): Contestant => ({
        ...{ name, run: () => stock(server, port, command), cpu: bench.shellCpu() },
      });
      const put = way('sftp of OpenSSH, put -f (fsync)', `put -f ${file.path} ${stored}`);
      const raced = await race(bench, {
        ...{ name: `sftp ${where}`, where: `an SFTP server ${where}`, file },
        open: () => new SftpDestination('offsite', server.config(root, port)),
        putters: [{ ...put, prepare: () => rm(stored, { force: true }) }],
        getters: [way('sftp of OpenSSH, get to a file', `get ${stored} ${file.path}.back`)],
      });
      results.push(...raced);
    }
    return results;
  } finally {
    far.kill();
    await server.remove();
  }
}

const delayProxy = fileURLToPath(new URL('./delay-proxy.js', import.meta.url));

/** One command of the stock client, with the same key and no known hosts of anybody. */
async function stock(server: SshServer, port: number, command: string): Promise<undefined> {
  const commands = join(server.folder, 'commands');
  await writeFile(commands, `${command}\n`);
  const options = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR'];
  await run('sftp', [
    ...['-q', '-b', commands, '-P', String(port), '-i', join(server.folder, 'user_key')],
    ...options.flatMap((option) => ['-o', option]),
    `${userInfo().username}@127.0.0.1`,
  ]);
  return undefined;
}
