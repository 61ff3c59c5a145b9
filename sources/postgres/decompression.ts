import { once } from 'node:events';

import { CofreError } from '../../errors/error.ts';
import { startTool, ToolFailure, type RunningTool, type ToolContext } from '../../processes/tool.ts';
import { UNWRAP, type Wrapping } from './archive-files.ts';

/** One `zstd -d`, or whatever else unwraps it, that is fed from here; concatenated frames give concatenated data. */
export class Decompression {
  readonly tool: RunningTool;
  readonly #signal: AbortSignal;

  constructor(context: ToolContext & { readonly signal: AbortSignal }, wrapping: Wrapping) {
    this.#signal = context.signal;
    this.tool = startTool(UNWRAP[wrapping], { stdin: 'pipe', stdout: 'pipe' }, context);
    this.tool.stdin.on('error', () => undefined);
  }

  /** A broken pipe is no failure here: it is the consequence of the tool's end, which says more to whoever reads its output. */
  async write(piece: Buffer): Promise<void> {
    this.#signal.throwIfAborted();
    const { stdin } = this.tool;
    if (!stdin.writable || stdin.write(piece)) return;
    await once(stdin, 'drain', { signal: this.#signal }).catch(() => this.#signal.throwIfAborted());
  }

  end(): void {
    this.tool.stdin.end();
  }
}

/** A decoder's own failure means damaged content; one that was killed from outside says nothing about it. */
export function toContentError(error: unknown, what: string): unknown {
  if (!(error instanceof ToolFailure) || / ended by SIG(KILL|TERM)/.test(error.message)) return error;
  return new CofreError('bad-content', `${what} cannot be decoded: ${error.message}`, { cause: error });
}
