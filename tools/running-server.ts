import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

import { CofreError, messageOf } from '../errors/error.ts';

/** A server that this process started on 127.0.0.1. */
export interface RunningServer {
  readonly pid: number;
  readonly port: number;
  /** Resolves when the server has ended, for whatever reason. */
  readonly ended: Promise<void>;
  /** Ends it cleanly and waits for that; killed after 30 seconds. May be called again. */
  stop(): Promise<void>;
}

export interface ServerCommand {
  readonly name: string;
  readonly port: number;
  readonly path: string;
  readonly args: readonly string[];
  /** Options of setpriv(1), to run as another user. */
  readonly privileges?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** An open folder that the server gets as file descriptor 3. */
  readonly folder?: number;
  readonly logFile: string;
  /** The signal of a clean end: sent by `stop()`, and by the kernel when this process dies in any way. */
  readonly endSignal: 'SIGINT' | 'SIGTERM';
}

const START_WITHIN_MS = 60_000;
const STOP_WITHIN_MS = 30_000;
const ASK_EVERY_MS = 50;

/**
 * Starts a server and waits until `answers` is true; asked again until then.
 * @throws CofreError `tool-failed` with the end of its log, if it ends or does not answer within a minute; what `answers` throws.
 */
export async function startServer(command: ServerCommand, answers: () => Promise<boolean>): Promise<RunningServer> {
  const log = openSync(command.logFile, 'a', 0o600);
  const deathSignal = command.endSignal.slice('SIG'.length);
  // A session of its own, because Ctrl-C on the terminal is for us: we then end the servers in the right order.
  const child = spawn(
    'setpriv',
    ['--pdeathsig', deathSignal, ...(command.privileges ?? []), '--', command.path, ...command.args],
    {
      detached: true,
      cwd: '/',
      env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', ...command.env },
      stdio: ['ignore', log, log, ...(command.folder === undefined ? [] : [command.folder])],
    },
  );
  closeSync(log);
  let isRunning = true;
  let spawnError: unknown;
  const ended = new Promise<void>((resolve) => {
    child.once('error', (error) => {
      spawnError = error;
      isRunning = false;
      resolve();
    });
    child.once('exit', () => {
      isRunning = false;
      resolve();
    });
  });
  const stop = async (): Promise<void> => {
    if (!isRunning) return;
    child.kill(command.endSignal);
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_WITHIN_MS);
    await ended;
    clearTimeout(timer);
  };
  try {
    const deadline = performance.now() + START_WITHIN_MS;
    while (isRunning && !(await answers())) {
      if (performance.now() > deadline) throw await startFailure(command, 'did not answer within a minute', spawnError);
      await sleep(ASK_EVERY_MS);
    }
    if (!isRunning) throw await startFailure(command, 'ended at once', spawnError);
  } catch (error) {
    await stop();
    throw error;
  }
  return { pid: child.pid ?? 0, port: command.port, ended, stop };
}

async function startFailure(command: ServerCommand, what: string, cause: unknown): Promise<CofreError> {
  if (cause !== undefined) {
    return new CofreError('tool-missing', `${command.name} could not be started: ${messageOf(cause)}`, { cause });
  }
  const log = await readFile(command.logFile, 'utf8');
  const said = log.trim().split('\n').slice(-5).join('\n');
  return new CofreError('tool-failed', `${command.name} ${what}: ${said}`, { hint: `its log is ${command.logFile}` });
}
