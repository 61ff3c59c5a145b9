import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { hashFile, localFileBody } from '../destinations/local-file.ts';
import { sftpPlace } from '../destinations/sftp/place.ts';
import { SftpDestination } from '../destinations/sftp/sftp.ts';
import { SshServer } from '../test/ssh-server.ts';
import type { Bench } from './bench.ts';
import { hold, type Contestant, type Result } from './contest.ts';

const run = promisify(execFile);
const SIZE_BYTES = 246_000_000;
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
    const file = join(bench.folder, 'sftp-object');
    await run('sh', ['-c', `head -c ${SIZE_BYTES} /dev/urandom > "$0"`, file]);
    const root = await server.root('bench');
    await sftpPlace(server.config(root)).prepare();
    const results: Result[] = [];
    for (const [where, port] of [
      ['next door', server.port],
      [`${DELAY_MS} ms away`, Number(farPort.toString())],
    ] as const) {
      const place = { server, root, file, port };
      const puts = { name: `sftp put: ${where}`, what: `An object of 246 MB to an SFTP server ${where}` };
      results.push(await hold({ ...puts, contestants: await putters(bench, place) }, bench.rounds));
      const gets = { name: `sftp get: ${where}`, what: `An object of 246 MB from an SFTP server ${where}` };
      results.push(await hold({ ...gets, contestants: await getters(bench, place) }, bench.rounds));
    }
    return results;
  } finally {
    far.kill();
    await server.remove();
  }
}

const delayProxy = fileURLToPath(new URL('./delay-proxy.js', import.meta.url));

interface BenchPlace {
  readonly server: SshServer;
  readonly root: string;
  readonly file: string;
  readonly port: number;
}

async function putters(bench: Bench, { server, root, file, port }: BenchPlace): Promise<Contestant[]> {
  const { sizeBytes, sha256 } = await hashFile(file);
  const remove = (name: string) => async (): Promise<void> => rm(join(root, name), { force: true });
  return [
    {
      name: 'sftp of OpenSSH, put -f (fsync)',
      prepare: remove('stock'),
      run: () => stock(server, port, `put -f ${file} ${root}/stock`),
      cpu: bench.shellCpu(),
    },
    {
      name: 'Cofre: connect, put with its hash, fsync, link',
      prepare: remove('cofre'),
      run: async () => {
        const place = new SftpDestination('offsite', server.config(root, port));
        await place.put('cofre', localFileBody(file, sizeBytes, sha256));
        await place.close();
        return undefined;
      },
      cpu: bench.ownCpu(),
    },
  ];
}

async function getters(bench: Bench, { server, root, file, port }: BenchPlace): Promise<Contestant[]> {
  const local = `${file}.back`;
  return [
    {
      name: 'sftp of OpenSSH, get to a file',
      run: () => stock(server, port, `get ${root}/cofre ${local}`),
      cpu: bench.shellCpu(),
    },
    {
      name: 'Cofre: connect, read all of it',
      run: async () => {
        const place = new SftpDestination('offsite', server.config(root, port));
        for await (const chunk of await place.get('cofre')) void chunk;
        await place.close();
        return undefined;
      },
      cpu: bench.ownCpu(),
    },
  ];
}

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
