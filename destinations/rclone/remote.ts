import { homedir } from 'node:os';
import { posix } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import type { RcloneConfig } from '../../config/destination-schema.ts';
import { resolveSecret } from '../../config/secret.ts';
import { startTool, type RunningTool, type ToolStreams } from '../../processes/tool.ts';
import { ConfigReplaced, toRcloneError } from './errors.ts';
import { requireRclone } from './version.ts';

/** For every call. Whole calls are Temporal's to try again; rclone itself goes on with single requests and parts. */
const FLAGS = [
  '--ask-password=false',
  ...['--retries', '1'],
  ...['--contimeout', '15s'],
  // A connection that carries nothing for so long is given up: a cable that was pulled says nothing.
  ...['--timeout', '2m'],
  ...['--stats', '0'],
  // Google's daily limit lets every request wait for ever instead of failing.
  '--drive-stop-on-upload-limit',
];

const TRIES_WHILE_REPLACED = 5;
const TRY_AGAIN_MS = 200;

/** Where `rclone` itself looks for its configuration. */
export function defaultConfigFile(): string {
  const { RCLONE_CONFIG: named, XDG_CONFIG_HOME: folder } = process.env;
  return named ?? posix.join(folder ?? posix.join(homedir(), '.config'), 'rclone', 'rclone.conf');
}

/**
 * A folder of one of the operator's remotes. Each question is an rclone of its own, in a process group of its own: nothing
 * that it remembers of the remote can be out of date, and ending the group ends all of it.
 */
export class RcloneRemote {
  readonly url: string;
  readonly configFile: string;
  readonly #config: RcloneConfig;

  constructor(config: RcloneConfig) {
    this.#config = config;
    this.configFile = config.configFile ?? defaultConfigFile();
    this.url = `rclone:${config.remote}`;
  }

  /** The name of a key, or of a folder without '/' at its end, for rclone. */
  nameOf(key: string): string {
    const { remote } = this.#config;
    if (key === '') return remote;
    return remote.endsWith(':') ? remote + key : `${remote}/${key}`;
  }

  /** Starts rclone. Its failures are still its own: see `failure`. */
  async start(args: readonly string[], streams: ToolStreams, signal: AbortSignal | undefined): Promise<RunningTool> {
    signal?.throwIfAborted();
    await requireRclone();
    const password = this.#config.configPassword;
    const env = {
      HOME: homedir(),
      ...(password === undefined ? {} : { RCLONE_CONFIG_PASS: (await resolveSecret(password)).reveal() }),
    };
    const all = [...FLAGS, '--config', this.configFile, ...args];
    return startTool({ name: 'rclone', path: 'rclone', args: all, env }, streams, { signal });
  }

  /** Asks rclone, and gives what it answers. Its failures become Cofre's; the signal's reason passes through. */
  async ask(doing: string, args: readonly string[], signal: AbortSignal | undefined): Promise<string> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.#answer(args, signal);
      } catch (cause) {
        const error = await this.failure(cause, doing);
        if (!(error instanceof ConfigReplaced) || tries === TRIES_WHILE_REPLACED) throw error;
        await sleep(TRY_AGAIN_MS, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
      }
    }
  }

  async failure(cause: unknown, doing: string): Promise<unknown> {
    return await toRcloneError(cause, `${this.url} failed ${doing}`, this.configFile);
  }

  async #answer(args: readonly string[], signal: AbortSignal | undefined): Promise<string> {
    const running = await this.start(args, { stdout: 'pipe' }, signal);
    const chunks: Buffer[] = [];
    running.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    await running.done;
    return Buffer.concat(chunks).toString('utf8');
  }
}
