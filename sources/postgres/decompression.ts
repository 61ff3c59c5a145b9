import { once } from 'node:events';

import { CofreError } from '../../errors/error.ts';
import { startTool, ToolFailure, type RunningTool, type ToolContext } from '../../processes/tool.ts';

/** One `zstd -d` that is fed from here; concatenated frames give concatenated data. */
export class Decompression {
  readonly zstd: RunningTool;
  readonly #signal: AbortSignal;

  constructor(context: ToolContext & { readonly signal: AbortSignal }) {
    this.#signal = context.signal;
    this.zstd = startTool(
      { name: 'zstd', path: 'zstd', args: ['-d', '-q', '-c'] },
      { stdin: 'pipe', stdout: 'pipe' },
      context,
    );
    this.zstd.stdin.on('error', () => undefined);
  }

  /** A broken pipe is no failure here: it is the consequence of zstd's end, which says more to whoever reads its output. */
  async write(piece: Buffer): Promise<void> {
    this.#signal.throwIfAborted();
    const { stdin } = this.zstd;
    if (!stdin.writable || stdin.write(piece)) return;
    await once(stdin, 'drain', { signal: this.#signal }).catch(() => this.#signal.throwIfAborted());
  }

  end(): void {
    this.zstd.stdin.end();
  }
}

/** A decoder's own failure means damaged content; one that was killed from outside says nothing about it. */
export function toContentError(error: unknown, what: string): unknown {
  if (!(error instanceof ToolFailure) || / ended by SIG(KILL|TERM)/.test(error.message)) return error;
  return new CofreError('bad-content', `${what} cannot be decoded: ${error.message}`, { cause: error });
}
