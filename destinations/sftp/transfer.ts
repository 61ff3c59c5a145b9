import { orAborted, type SftpSession } from './session.ts';

/**
 * Every server takes 32 KiB in one request; larger ones have been seen to damage files on some. A little less, so that a
 * request or an answer with all its fields fits into one packet of the transport, which holds 32 KiB too.
 */
export const BLOCK_BYTES = 31 * 1024;
/** More than a window of 2 MiB, as OpenSSH has it, so that the window is full whatever the delay; all that memory holds of a transfer. */
const BLOCKS_IN_FLIGHT = 96;

/** Writes into an open file with many requests under way, in any order of their answers. */
export class BlockWriter {
  readonly #session: SftpSession;
  readonly #handle: Buffer;
  readonly #signal: AbortSignal | undefined;
  readonly #wake = (): void => this.#go?.();
  #go: (() => void) | undefined;
  #inFlight = 0;
  #confirmedBytes = 0;
  #failure: Error | undefined;

  constructor(session: SftpSession, handle: Buffer, signal: AbortSignal | undefined) {
    this.#session = session;
    this.#handle = handle;
    this.#signal = signal;
    signal?.addEventListener('abort', this.#wake);
  }

  /** Bytes that the server has said it wrote. */
  get confirmedBytes(): number {
    return this.#confirmedBytes;
  }

  /** Takes the bytes over; they may be changed afterwards. Fails with what an earlier request failed with. */
  async write(bytes: Buffer, position: number): Promise<void> {
    for (let start = 0; start < bytes.length; start += BLOCK_BYTES) {
      await this.#until(() => this.#inFlight < BLOCKS_IN_FLIGHT);
      const length = Math.min(BLOCK_BYTES, bytes.length - start);
      this.#inFlight += 1;
      this.#session.send<void>(
        (sftp, done) => sftp.write(this.#handle, bytes, start, length, position + start, done),
        (error) => {
          this.#inFlight -= 1;
          if (error === undefined || error === null) this.#confirmedBytes += length;
          else this.#failure ??= error;
          this.#wake();
        },
      );
    }
  }

  /** Waits until everything is confirmed. */
  async flush(): Promise<void> {
    await this.#until(() => this.#inFlight === 0);
  }

  /** To be called at the end in any case. */
  release(): void {
    this.#signal?.removeEventListener('abort', this.#wake);
  }

  async #until(condition: () => boolean): Promise<void> {
    for (;;) {
      this.#signal?.throwIfAborted();
      if (this.#failure !== undefined) throw this.#failure;
      if (condition()) return;
      await new Promise<void>((resolve) => (this.#go = resolve));
    }
  }
}

/** A file that is open in a session. */
export interface OpenFile {
  readonly session: SftpSession;
  readonly handle: Buffer;
}

/**
 * The bytes of a file from `start` to before `end`, in order, with many requests under way, in turns over all the channels that
 * it is open in. Ends early where the file does. Blocks are buffers of their own.
 */
export async function* readBlocks(
  files: readonly [OpenFile, ...OpenFile[]],
  start: number,
  end: number,
  signal?: AbortSignal,
): AsyncGenerator<Buffer> {
  const ahead: Promise<Buffer>[] = [];
  let asked = start;
  let turn = 0;
  const askAhead = (): void => {
    while (asked < end && ahead.length < BLOCKS_IN_FLIGHT * files.length) {
      const file = files[turn++ % files.length] ?? files[0];
      const block = readBlock(file, asked, Math.min(BLOCK_BYTES, end - asked));
      // Whoever stops reading leaves it alone; whoever goes on meets its failure below.
      block.catch(() => undefined);
      ahead.push(block);
      asked += BLOCK_BYTES;
    }
  };
  askAhead();
  for (let position = start; position < end;) {
    const wanted = Math.min(BLOCK_BYTES, end - position);
    const block = await orAborted(ahead.shift() ?? Promise.resolve(Buffer.alloc(0)), signal);
    askAhead();
    if (block.length > 0) yield block;
    if (block.length < wanted) return;
    position += wanted;
  }
}

/** One block; shorter only at the end of the file. A server may give less than was asked for at any time. */
async function readBlock({ session, handle }: OpenFile, position: number, length: number): Promise<Buffer> {
  const block = Buffer.allocUnsafe(length);
  for (let have = 0; have < length;) {
    const got = await session.ask<number>((sftp, done) =>
      sftp.read(handle, block, have, length - have, position + have, done),
    );
    if (got === 0) return block.subarray(0, have);
    have += got;
  }
  return block;
}
