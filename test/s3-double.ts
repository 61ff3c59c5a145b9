import { once } from 'node:events';
import { createServer, request as forward, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A request on its way to the service, as faults choose by it. */
export interface Asked {
  readonly method: string;
  /** The object's name in the bucket, without the query. */
  readonly name: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
}

/** What happens to one request; nothing of it: it passes. */
export interface Fault {
  /** The service is not asked; this is the answer. */
  readonly answer?: {
    readonly status: number;
    readonly code: string;
    readonly message?: string;
    readonly more?: string;
    /** All of it, instead of an error in XML. */
    readonly text?: string;
  };
  /** Done before the service is asked, or the answer given. */
  readonly before?: () => Promise<void>;
  /** Done when the service has done what was asked, and before the answer passes. */
  readonly after?: () => Promise<void>;
  /** The service has done it, and nobody hears of it. */
  readonly loseReply?: boolean;
}

/** In front of a real S3 service, one that has a fault which the real one has not. */
export class S3Double {
  /** Asked for each request. */
  fault: (asked: Asked) => Fault = () => ({});
  readonly asked: Asked[] = [];
  readonly #server: Server;
  readonly #port: number;

  private constructor(port: number) {
    this.#port = port;
    this.#server = createServer((request, response) => {
      this.#serve(request, response).catch(() => response.destroy());
    });
  }

  static async start(port: number): Promise<S3Double> {
    const double = new S3Double(port);
    double.#server.listen(0, '127.0.0.1');
    await once(double.#server, 'listening');
    return double;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://double');
    const name = pathname.split('/').slice(2).join('/');
    const asked = { method: request.method ?? '', name, query: searchParams, headers: request.headers };
    this.asked.push(asked);
    const { answer, before, after, loseReply } = this.fault(asked);
    await before?.();
    if (answer !== undefined) {
      request.resume();
      await once(request, 'end');
      const text =
        answer.text ??
        `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${answer.code}</Code><Message>${answer.message ?? answer.code}</Message>${answer.more ?? ''}</Error>`;
      response.writeHead(answer.status, { 'content-type': 'application/xml', 'content-length': text.length });
      response.end(asked.method === 'HEAD' ? undefined : text);
      return;
    }
    // The very same request, its signature included.
    const options = {
      host: '127.0.0.1',
      port: this.#port,
      method: request.method,
      path: request.url,
      headers: request.headers,
    };
    const onward = forward(options);
    request.pipe(onward);
    const [reply] = (await once(onward, 'response')) as [IncomingMessage];
    const chunks: Buffer[] = [];
    for await (const chunk of reply) chunks.push(chunk as Buffer);
    await after?.();
    if (loseReply === true) return void response.destroy();
    response.writeHead(reply.statusCode ?? 500, reply.headers);
    response.end(Buffer.concat(chunks));
  }
}
