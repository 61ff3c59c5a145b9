import { createHash } from 'node:crypto';
import { open, type FileHandle } from 'node:fs/promises';
import type { Readable } from 'node:stream';

import { CofreError } from '../errors/error.ts';
import type { Body } from './destination.ts';

/**
 * Reads a body from its beginning into buffers of the caller, one after the other, and knows at the end whether it gave
 * what it announced. Failures of the body, and the signal's reason, pass through as they are.
 */
export class BodyReader {
  readonly #body: Body;
  readonly #source: Source;
  readonly #hash = createHash('sha256');
  #sizeBytes = 0;

  constructor(body: Body, signal: AbortSignal | undefined) {
    this.#body = body;
    this.#source = body.path === undefined ? new StreamSource(body, signal) : new FileSource(body.path, signal);
  }

  /** Fills `buffer` as far as the body goes, and gives the part that was filled. */
  async fill(buffer: Buffer): Promise<Buffer> {
    return this.hash(await this.read(buffer));
  }

  /** As `fill`, for who hashes each part later, in order. */
  async read(buffer: Buffer): Promise<Buffer> {
    let filled = 0;
    while (filled < buffer.length) {
      const bytes = await this.#source.read(buffer, filled);
      if (bytes === 0) break;
      filled += bytes;
    }
    return buffer.subarray(0, filled);
  }

  hash(part: Buffer): Buffer {
    this.#hash.update(part);
    this.#sizeBytes += part.length;
    return part;
  }

  /** To be called when all announced bytes are read. @throws CofreError `bad-content` when the body gave others, or more. */
  async finish(): Promise<void> {
    const more = (await this.fill(Buffer.allocUnsafe(1))).length > 0;
    const { sizeBytes, sha256 } = this.#body;
    if (!more && this.#sizeBytes === sizeBytes && this.#hash.digest('hex') === sha256) return;
    throw badContent(this.#body);
  }

  async close(): Promise<void> {
    await this.#source.close();
  }
}

/** A small body, in memory. @throws CofreError `bad-content`; `signal.reason`. */
export async function readWhole(body: Body, signal: AbortSignal | undefined): Promise<Buffer> {
  const reader = new BodyReader(body, signal);
  try {
    const bytes = await reader.fill(Buffer.allocUnsafe(body.sizeBytes));
    signal?.throwIfAborted();
    await reader.finish();
    return bytes;
  } finally {
    await reader.close();
  }
}

interface Source {
  /** Gives how many bytes now stand in `buffer` from `offset` on; 0 at the end. */
  read(buffer: Buffer, offset: number): Promise<number>;
  close(): Promise<void>;
}

class StreamSource implements Source {
  readonly #stream: Readable;
  readonly #signal: AbortSignal | undefined;
  readonly #chunks: AsyncIterator<Buffer>;
  readonly #forget: () => void;
  #rest: Buffer = Buffer.alloc(0);
  /** Ends the read that is under way. */
  #end: (reason: Error) => void = () => undefined;

  constructor(body: Body, signal: AbortSignal | undefined) {
    this.#stream = body.open();
    // Whoever reads is told; while nobody does, it would end the process.
    this.#stream.on('error', () => undefined);
    this.#signal = signal;
    this.#chunks = (this.#stream as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
    const onAbort = (): void => {
      this.#stream.destroy(signal?.reason as Error);
      // A stream may end only when its source says something more.
      this.#end(signal?.reason as Error);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    // Nobody is told of what has happened already.
    if (signal?.aborted === true) onAbort();
    this.#forget = () => signal?.removeEventListener('abort', onAbort);
  }

  async read(buffer: Buffer, offset: number): Promise<number> {
    this.#signal?.throwIfAborted();
    while (this.#rest.length === 0) {
      const next = await new Promise<IteratorResult<Buffer>>((resolve, reject) => {
        this.#end = reject;
        this.#chunks.next().then(resolve, reject);
      });
      if (next.done === true) return 0;
      this.#rest = next.value;
    }
    const taken = this.#rest.copy(buffer, offset);
    this.#rest = this.#rest.subarray(taken);
    return taken;
  }

  async close(): Promise<void> {
    this.#forget();
    this.#stream.destroy();
  }
}

/** So much at once: a caller's buffer may be large, and an abort is heard in between. */
const READ_BYTES = 2 * 1024 * 1024;

class FileSource implements Source {
  readonly #path: string;
  readonly #signal: AbortSignal | undefined;
  #file: FileHandle | undefined;

  constructor(path: string, signal: AbortSignal | undefined) {
    this.#path = path;
    this.#signal = signal;
  }

  async read(buffer: Buffer, offset: number): Promise<number> {
    this.#signal?.throwIfAborted();
    this.#file ??= await open(this.#path);
    const { bytesRead } = await this.#file.read(buffer, offset, Math.min(READ_BYTES, buffer.length - offset));
    return bytesRead;
  }

  async close(): Promise<void> {
    await this.#file?.close();
  }
}

export function badContent({ sizeBytes, sha256 }: Body): CofreError {
  return new CofreError(
    'bad-content',
    `what was to be stored is not what was announced: ${sizeBytes} bytes with SHA-256 ${sha256}`,
    { hint: 'the local file changed, or its medium is failing; run the backup again' },
  );
}
