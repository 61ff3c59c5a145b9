import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';

import { CofreError } from '../errors/error.ts';
import type { Body } from './destination.ts';

/**
 * Reads a body from its beginning into buffers of the caller, one after the other, and knows at the end whether it gave
 * what it announced. Failures of the body, and the signal's reason, pass through as they are.
 */
export class BodyReader {
  readonly #body: Body;
  readonly #stream: Readable;
  readonly #chunks: AsyncIterator<Buffer>;
  readonly #hash = createHash('sha256');
  readonly #forget: () => void;
  #rest: Buffer = Buffer.alloc(0);
  #sizeBytes = 0;

  constructor(body: Body, signal: AbortSignal | undefined) {
    this.#body = body;
    this.#stream = body.open();
    this.#chunks = (this.#stream as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
    const onAbort = (): void => {
      this.#stream.destroy(signal?.reason as Error);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#forget = () => signal?.removeEventListener('abort', onAbort);
  }

  /** Fills `buffer` as far as the body goes, and gives the part that was filled. */
  async fill(buffer: Buffer): Promise<Buffer> {
    let filled = 0;
    while (filled < buffer.length) {
      if (this.#rest.length === 0) {
        const next = await this.#chunks.next();
        if (next.done === true) break;
        this.#rest = next.value;
      }
      const taken = this.#rest.copy(buffer, filled);
      this.#rest = this.#rest.subarray(taken);
      filled += taken;
    }
    const part = buffer.subarray(0, filled);
    this.#hash.update(part);
    this.#sizeBytes += filled;
    return part;
  }

  /** To be called when all announced bytes are read. @throws CofreError `bad-content` when the body gave others, or more. */
  async finish(): Promise<void> {
    const more = (await this.fill(Buffer.allocUnsafe(1))).length > 0;
    const { sizeBytes, sha256 } = this.#body;
    if (!more && this.#sizeBytes === sizeBytes && this.#hash.digest('hex') === sha256) return;
    throw badContent(this.#body);
  }

  close(): void {
    this.#forget();
    this.#stream.destroy();
  }
}

export function badContent({ sizeBytes, sha256 }: Body): CofreError {
  return new CofreError(
    'bad-content',
    `what was to be stored is not what was announced: ${sizeBytes} bytes with SHA-256 ${sha256}`,
    { hint: 'the local file changed, or its medium is failing; run the backup again' },
  );
}
