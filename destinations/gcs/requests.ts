import { once } from 'node:events';
import {
  Agent as PlainAgent,
  request as plainRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
} from 'node:http';
import { Agent as TlsAgent, request as tlsRequest } from 'node:https';

export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** What is sent, one after the other. */
  readonly body?: readonly Buffer[];
  readonly signal?: AbortSignal | undefined;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: IncomingMessage;
}

/** Far above a page of the longest names. */
const TEXT_BYTES = 16 * 1024 * 1024;

/** Connections that are used again and again, and given up when nothing has passed for `idleMs`: a cable that was pulled says nothing. */
export class Connections {
  readonly #idleMs: number;
  readonly #plain = new PlainAgent({ keepAlive: true, noDelay: true });
  readonly #tls = new TlsAgent({ keepAlive: true, noDelay: true });

  constructor(idleMs: number) {
    this.#idleMs = idleMs;
  }

  /** Gives the answer as soon as it begins. Rejects with Node's own error, and with the signal's reason. */
  async send({ method, url, headers, body = [], signal }: HttpRequest): Promise<HttpAnswer> {
    signal?.throwIfAborted();
    const length = body.reduce((sum, part) => sum + part.length, 0);
    const options = {
      method,
      headers: { ...headers, ...(method === 'GET' ? {} : { 'content-length': String(length) }) },
      // Set before the connection is there, so it also ends an attempt to make one.
      timeout: this.#idleMs,
    };
    const request =
      url.protocol === 'http:'
        ? plainRequest(url, { ...options, agent: this.#plain })
        : tlsRequest(url, { ...options, agent: this.#tls });
    let answer: IncomingMessage | undefined;
    request.on('timeout', () => {
      // Its reader is the slow one.
      if (answer?.isPaused() === true) return void request.setTimeout(this.#idleMs);
      (answer ?? request).destroy(new Error(`nothing passed for ${Math.round(this.#idleMs / 1000)} seconds`));
    });
    const onAbort = (): void => {
      (answer ?? request).destroy(signal?.reason as Error);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    request.once('close', () => signal?.removeEventListener('abort', onAbort));
    const answered = once(request, 'response') as Promise<[IncomingMessage]>;
    // What comes after the answer has begun is told by its body.
    request.on('error', () => undefined);
    for (const part of body) request.write(part);
    request.end();
    [answer] = await answered;
    return { status: answer.statusCode ?? 0, headers: answer.headers, body: answer };
  }

  close(): void {
    this.#plain.destroy();
    this.#tls.destroy();
  }
}

/** All of a short answer. One that is too long is no answer of this service. */
export async function readText(body: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > TEXT_BYTES) throw new Error('the answer does not end');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
