import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';

import { CofreError, messageOf, nativeCode } from '../errors/error.ts';
import { forgetGroup, recordGroup } from './group-records.ts';

/** A program to run: never through a shell, with an environment of its own and nothing inherited. */
export interface Tool {
  /** How messages call it: `pg_dump`. */
  readonly name: string;
  readonly path: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** Where a tool's bytes come from and go to; a number is a file descriptor, which keeps them out of JavaScript. */
export interface ToolStreams {
  readonly stdin?: 'ignore' | 'pipe' | number | RunningTool;
  readonly stdout?: 'ignore' | 'pipe' | number;
}

export interface ToolContext {
  /** Aborting ends the tool's whole process group; the caller rethrows `signal.reason`. */
  readonly signal?: AbortSignal | undefined;
  /** A folder that remembers the process groups under way, so that a restarted worker can end them. */
  readonly records?: string | undefined;
  /** Sees everything the tool writes to stderr, in pieces, while `stderr` keeps only its ends. */
  readonly onStderr?: ((text: string) => void) | undefined;
}

/** The first and the last part of what a tool wrote to stderr; the middle of a flood is dropped. */
const STDERR_KEPT_BYTES = 16 * 1024;
/** Of them, what a failure says: Temporal shows none of a step under way that is larger than 4 KB. */
const SAID_LINES = 5;
const SAID_LINE_CHARS = 300;
const KILL_AFTER_MS = 5_000;

export class RunningTool {
  readonly tool: Tool;
  /** Settles when the tool has ended and closed its output: resolves for exit code 0 only. */
  readonly done: Promise<void>;
  readonly #child: ChildProcess;
  readonly #signal: AbortSignal | undefined;
  #head = '';
  #tail = '';
  #killTimer: NodeJS.Timeout | undefined;
  #ended = false;

  constructor(tool: Tool, streams: ToolStreams, context: ToolContext) {
    this.tool = tool;
    this.#signal = context.signal;
    context.signal?.throwIfAborted();
    const upstream = streams.stdin instanceof RunningTool ? streams.stdin.stdout : undefined;
    // A group of its own, so that one signal reaches a tool's children too; and the kernel ends it with this process.
    this.#child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', tool.path, ...tool.args], {
      detached: true,
      env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C.UTF-8', ...tool.env },
      ...(tool.cwd === undefined ? {} : { cwd: tool.cwd }),
      stdio: [
        upstream ?? (streams.stdin as 'ignore' | 'pipe' | number | undefined) ?? 'ignore',
        streams.stdout ?? 'ignore',
        'pipe',
      ],
    });
    // The next tool holds the pipe's end now; while we held it too, the first would never see it break.
    upstream?.destroy();
    // A tool that leaves children behind (pg_dump -j) must not leave them running; and while they hold its pipes, it is not closed.
    this.#child.once('exit', () => this.#signalGroup('SIGKILL'));
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#keep(text);
      context.onStderr?.(text);
    });
    if (context.records !== undefined && this.#child.pid !== undefined) recordGroup(context.records, this.#child.pid);
    const onAbort = (): void => this.kill();
    context.signal?.addEventListener('abort', onAbort, { once: true });
    this.done = this.#finish().finally(() => {
      this.#ended = true;
      context.signal?.removeEventListener('abort', onAbort);
      clearTimeout(this.#killTimer);
      if (context.records !== undefined && this.#child.pid !== undefined) forgetGroup(context.records, this.#child.pid);
    });
    // Whoever started it awaits `done`, perhaps later; until then a failure must not end the process.
    this.done.catch(() => undefined);
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get stdout(): Readable {
    if (this.#child.stdout === null) throw new Error(`${this.tool.name} was started without a stdout pipe`);
    return this.#child.stdout;
  }

  get stdin(): Writable {
    if (this.#child.stdin === null) throw new Error(`${this.tool.name} was started without a stdin pipe`);
    return this.#child.stdin;
  }

  /** What the tool said on stderr, shortened in the middle. */
  get stderr(): string {
    return this.#tail === '' ? this.#head : `${this.#head}\n[…]\n${this.#tail}`;
  }

  /** Ends the whole group: politely, then for certain. Does nothing once it has ended: its number may be another's by then. */
  kill(): void {
    if (this.#ended) return;
    this.#signalGroup('SIGTERM');
    this.#killTimer ??= setTimeout(() => this.#signalGroup('SIGKILL'), KILL_AFTER_MS);
  }

  #signalGroup(signal: NodeJS.Signals): void {
    if (this.#child.pid === undefined) return;
    try {
      process.kill(-this.#child.pid, signal);
    } catch (error) {
      if (nativeCode(error) !== 'ESRCH') throw error;
    }
  }

  #keep(text: string): void {
    const room = STDERR_KEPT_BYTES - this.#head.length;
    this.#head += text.slice(0, Math.max(room, 0));
    this.#tail = (this.#tail + text.slice(Math.max(room, 0))).slice(-STDERR_KEPT_BYTES);
  }

  async #finish(): Promise<void> {
    let code: number | null;
    let signal: NodeJS.Signals | null;
    try {
      [code, signal] = (await once(this.#child, 'close')) as [number | null, NodeJS.Signals | null];
    } catch (cause) {
      throw new CofreError('tool-missing', `${this.tool.name} could not be started: ${messageOf(cause)}`, { cause });
    }
    this.#signal?.throwIfAborted();
    // 127: setpriv found no such program.
    if (code === 127) {
      throw new CofreError('tool-missing', `${this.tool.name} is not installed here (${this.tool.path})`, {
        hint: '`cofre doctor` on this host names the package',
      });
    }
    if (code !== 0) throw new ToolFailure(this.tool.name, code, signal, this.stderr);
  }
}

/**
 * A tool ended with another code than 0 (`tool-failed`), or was killed by somebody else (`killed`). Whoever knows the tool
 * may read more out of `stderr`.
 */
export class ToolFailure extends CofreError {
  readonly tool: string;
  /** Null if a signal ended it. */
  readonly exitCode: number | null;
  /** What ended it; null if it ended by itself. */
  readonly signal: NodeJS.Signals | null;
  // Private, so that whoever prints the error with all its fields does not print a tool's whole output.
  readonly #stderr: string;

  constructor(tool: string, code: number | null, signal: NodeJS.Signals | null, stderr: string) {
    const how = signal === null ? `with exit code ${code}` : `by ${signal}`;
    const lines = stderr.trim().split('\n').slice(-SAID_LINES).map(shorten).join('\n');
    const said = lines === '' ? 'it said nothing' : lines;
    // Nobody here asks for SIGKILL first: a tool that is to end is asked politely, and its caller knows why it ended.
    if (signal === 'SIGKILL') super('killed', `${tool} ended ${how}: ${said}`, { hint: KILLED_HINT });
    else super('tool-failed', `${tool} ended ${how}: ${said}`);
    this.tool = tool;
    this.exitCode = code;
    this.signal = signal;
    this.#stderr = stderr;
  }

  get stderr(): string {
    return this.#stderr;
  }
}

/** What to do about a tool or a worker that something killed. */
export const KILLED_HINT =
  'mostly memory ran out: the kernel log of the host says so (journalctl -k); give it more, or lower `jobs` of the policy or `heavy` of the host';

function shorten(line: string): string {
  return line.length > SAID_LINE_CHARS ? `${line.slice(0, SAID_LINE_CHARS)} […]` : line;
}

/** Starts a tool in a process group of its own. */
export function startTool(tool: Tool, streams: ToolStreams = {}, context: ToolContext = {}): RunningTool {
  return new RunningTool(tool, streams, context);
}

/**
 * Waits until every tool of a pipeline, given from its first to its last, has ended well. When one fails the others are ended
 * too, and the failure that is thrown is the earliest; where that tool only lost its reader, it is the reader's.
 */
export async function finishAll(tools: readonly RunningTool[]): Promise<void> {
  const failed: { index: number; error: unknown }[] = [];
  await Promise.all(
    tools.map(async (tool, index) => {
      try {
        await tool.done;
      } catch (error) {
        failed.push({ index, error });
        for (const other of tools) if (other !== tool) other.kill();
      }
    }),
  );
  const first = failed[0];
  if (first === undefined) return;
  const reader = lostItsReader(first.error)
    ? failed.find(({ index, error }) => index > first.index && !wasEndedByUs(error))
    : undefined;
  throw (reader ?? first).error;
}

function wasEndedByUs(error: unknown): boolean {
  return error instanceof ToolFailure && error.signal === 'SIGTERM';
}

/** Pipes between tools are sockets: a reader that ends with input unread resets them. */
function lostItsReader(error: unknown): boolean {
  if (!(error instanceof ToolFailure)) return false;
  return error.signal === 'SIGPIPE' || /broken pipe|connection reset/i.test(error.stderr);
}

/** Runs a small tool and gives its stdout as text, at most `maxBytes` of it, UTF-8 unless told. */
export async function captureTool(
  tool: Tool,
  context: ToolContext & { maxBytes?: number; encoding?: BufferEncoding } = {},
): Promise<string> {
  const running = startTool(tool, { stdout: 'pipe' }, context);
  const maxBytes = context.maxBytes ?? 256 * 1024 * 1024;
  const chunks: Buffer[] = [];
  let size = 0;
  running.stdout.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size > maxBytes) running.kill();
    else chunks.push(chunk);
  });
  await running.done;
  return Buffer.concat(chunks).toString(context.encoding ?? 'utf8');
}
