import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';

import type { SftpConfig } from '../config/destination-schema.ts';
import { freeLowPort } from '../tools/free-port.ts';
import { startServer, type RunningServer } from '../tools/running-server.ts';

export interface SshServerOptions {
  /** Requests of the protocol that it refuses, and extensions that it does not offer, by OpenSSH's names. */
  readonly without?: readonly string[];
  /** Its account may only read. */
  readonly readOnly?: boolean;
  /** Whether its account may use SFTP at all; true unless told. */
  readonly sftp?: boolean;
  /** What becomes of a connection's second channel; it is given unless told. */
  readonly secondChannel?: 'refused' | 'fatal';
  /** Where strace writes what its sessions do with files. */
  readonly trace?: string;
  /** It takes this password, too, of the user who runs the tests. Only root can have that. */
  readonly password?: string;
}

/**
 * Debian's OpenSSH server on a port of 127.0.0.1, with a host key and a user key of its own, for the user who runs the tests.
 * The machine's own accounts, keys and settings are not touched.
 */
export class SshServer {
  readonly folder: string;
  readonly port: number;
  readonly #options: SshServerOptions;
  #server: RunningServer | undefined;

  private constructor(folder: string, port: number, options: SshServerOptions) {
    this.folder = folder;
    this.port = port;
    this.#options = options;
  }

  static async start(options: SshServerOptions = {}): Promise<SshServer> {
    const folder = await mkdtemp(join(tmpdir(), 'cofre-ssh-'));
    const server = new SshServer(folder, await freeLowPort(), options);
    server.makeKey('host_key');
    server.makeKey('user_key');
    await writeFile(join(folder, 'authorized_keys'), await readFile(join(folder, 'user_key.pub')));
    await server.run();
    return server;
  }

  /** Where its user may keep destinations: made anew for each name. */
  async root(name: string): Promise<string> {
    const path = join(this.folder, name);
    await mkdir(path);
    return path;
  }

  /** A destination in `path`, reached at `port` (a proxy's, say) instead of its own. */
  config(path: string, port = this.port): SftpConfig {
    return {
      ...{ type: 'sftp', host: '127.0.0.1', port, user: userInfo().username, path },
      ...{ hostKey: this.fingerprint('host_key'), privateKey: `file:${join(this.folder, 'user_key')}` },
    };
  }

  fingerprint(key: string): string {
    const line = execFileSync('ssh-keygen', ['-lf', join(this.folder, key)], { encoding: 'utf8' });
    return line.split(' ')[1] ?? '';
  }

  makeKey(name: string, passphrase = ''): void {
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', passphrase, '-C', 'test', '-f', join(this.folder, name)]);
  }

  /** Begins, or begins again with what its files say now. */
  async run(): Promise<void> {
    const config = join(this.folder, 'sshd_config');
    const { without = [], readOnly = false, sftp = true, password, secondChannel, trace } = this.#options;
    const server = secondChannel === 'fatal' ? await this.#fatalAtSecond() : 'internal-sftp';
    const limits = [...(readOnly ? ['-R'] : []), ...(without.length === 0 ? [] : ['-P', without.join(',')])];
    await writeFile(
      config,
      [
        `Port ${this.port}`,
        'ListenAddress 127.0.0.1',
        `HostKey ${join(this.folder, 'host_key')}`,
        `AuthorizedKeysFile ${join(this.folder, 'authorized_keys')}`,
        'PidFile none',
        'StrictModes no',
        'UsePAM no',
        'PermitUserRC no',
        'KbdInteractiveAuthentication no',
        `PasswordAuthentication ${password === undefined ? 'no' : 'yes'}`,
        `PermitRootLogin ${password === undefined ? 'prohibit-password' : 'yes'}`,
        'AllowTcpForwarding no',
        'PermitTTY no',
        'MaxStartups 100',
        'LogLevel VERBOSE',
        ...(secondChannel === 'refused' ? ['MaxSessions 1'] : []),
        ...(sftp ? [[`Subsystem sftp ${server}`, ...limits].join(' ')] : []),
        '',
      ].join('\n'),
    );
    if (process.getuid?.() === 0) await mkdir('/run/sshd', { recursive: true, mode: 0o755 });
    // -D: the server itself is then the child that is ended.
    const strace = ['strace', '-D', '-f', '-y', '-e', 'trace=fsync,link,linkat,unlink,unlinkat', '-o'];
    const traced = trace === undefined ? [] : [...strace, trace];
    const sshd = [...traced, '/usr/sbin/sshd', '-D', '-e', '-f', config];
    const [path = '', ...args] = password === undefined ? sshd : await this.#withPassword(password, sshd);
    this.#server = await startServer(
      { name: 'sshd', port: this.port, path, args, logFile: join(this.folder, 'log'), endSignal: 'SIGTERM' },
      () => greets(this.port),
    );
  }

  /** A command that serves the first channel of each connection, and ends the connection at the second. */
  async #fatalAtSecond(): Promise<string> {
    const path = join(this.folder, 'first-channel-only');
    const served = join(this.folder, 'served-$PPID');
    const script = `#!/bin/sh\nmkdir ${served} || kill -9 $PPID\nexec /usr/lib/openssh/sftp-server\n`;
    await writeFile(path, script, { mode: 0o755 });
    return path;
  }

  /** What it has logged so far. */
  async log(): Promise<string> {
    return await readFile(join(this.folder, 'log'), 'utf8');
  }

  /** Ends the server, and so that nobody comes any more; connections that are open stay. */
  async stop(): Promise<void> {
    await this.#server?.stop();
  }

  async remove(): Promise<void> {
    await this.stop();
    await rm(this.folder, { recursive: true, force: true });
  }

  /** It alone sees another file of passwords: by a mount of its own. */
  async #withPassword(password: string, sshd: readonly string[]): Promise<string[]> {
    const hash = execFileSync('openssl', ['passwd', '-6', '-stdin'], { input: password, encoding: 'utf8' }).trim();
    const shadow = join(this.folder, 'shadow');
    await writeFile(shadow, `${userInfo().username}:${hash}:1::::::\n`, { mode: 0o600 });
    const mountAndRun = 'mount --bind "$0" /etc/shadow && exec "$@"';
    return ['/usr/bin/unshare', '--mount', 'sh', '-c', mountAndRun, shadow, ...sshd];
  }
}

async function greets(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    const [greeting] = (await once(socket, 'data')) as [Buffer];
    return greeting.toString().startsWith('SSH-2.0');
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
