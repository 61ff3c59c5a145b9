import { createVerify, generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer, request as forward, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

/** A request on its way to the service, as faults choose by it. */
export interface Asked {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  /** The object's name in the bucket, where one is named. */
  readonly name: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
}

/** What happens to one request; nothing of it: it passes. */
export interface Fault {
  /** The service is not asked; this is the answer. */
  readonly answer?: { readonly status: number; readonly reason?: string; readonly message?: string };
  /** This is asked in its place. */
  readonly ask?: (target: string) => string;
  /** Bytes come to the service as these. */
  readonly sent?: (bytes: Buffer) => Buffer;
  /** Done before the service is asked. */
  readonly before?: () => Promise<void>;
  /** Done when the service has done what was asked, and before the answer passes. */
  readonly after?: () => Promise<void>;
  /** The answer comes as this. */
  readonly reply?: (bytes: Buffer) => Buffer;
  /** The service has done it, and nobody hears of it. */
  readonly loseReply?: boolean;
}

/**
 * In front of a GCS service, one that has a fault which that one has not, and that asks who is there. It looks at the condition of an
 * upload again when the upload ends, as Google does and fake-gcs-server 1.54 does not.
 */
export class GcsDouble {
  /** Asked for each request. */
  fault: (asked: Asked) => Fault = () => ({});
  readonly asked: Asked[] = [];
  /** What is said to whoever asks for a token, in place of giving one. */
  tokenError: { readonly error: string; readonly error_description: string } | undefined;
  readonly #server: Server;
  readonly #port: number;
  /** What a workload has to show to get a token, and the token. */
  readonly #subject = randomBytes(16).toString('hex');
  readonly #token = randomBytes(16).toString('hex');
  readonly #keys = generateKeyPairSync('rsa', { modulusLength: 2048 });
  #requiresToken = false;
  /** The uploads that began on the condition that there is no object of the name. */
  readonly #conditional = new Set<string>();

  private constructor(port: number) {
    this.#port = port;
    this.#server = createServer((request, response) => {
      this.#serve(request, response).catch(() => response.destroy());
    });
  }

  static async start(port: number): Promise<GcsDouble> {
    const double = new GcsDouble(port);
    double.#server.listen(0, '127.0.0.1');
    await once(double.#server, 'listening');
    return double;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** From now on nobody is served without credentials. */
  requireToken(): void {
    this.#requiresToken = true;
  }

  /** Files of credentials: of a workload that gets a token here, of one that gets none, and of a service account with its own key. */
  async credentials(folder: string): Promise<{ good: string; wrong: string; secret: string; serviceAccount: string }> {
    const wrong = randomBytes(16).toString('hex');
    const workload = async (name: string, subject: string): Promise<string> => {
      const [path, source] = [join(folder, `${name}.json`), join(folder, `${name}.subject`)];
      await writeFile(source, subject, { mode: 0o600 });
      const content = {
        type: 'external_account',
        audience: '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/p',
        subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
        token_url: `http://127.0.0.1:${this.port}/token`,
        credential_source: { file: source },
      };
      await writeFile(path, JSON.stringify(content), { mode: 0o600 });
      return `file:${path}`;
    };
    const account = {
      type: 'service_account',
      client_email: 'cofre@acme.iam.gserviceaccount.com',
      private_key: this.#keys.privateKey.export({ type: 'pkcs8', format: 'pem' }),
      private_key_id: 'key-1',
      // Outside of Google's own universe no token is asked for: what the account signs is one.
      universe_domain: 'universe.example',
    };
    const accountPath = join(folder, 'account.json');
    await writeFile(accountPath, JSON.stringify(account), { mode: 0o600 });
    return {
      good: await workload('good', this.#subject),
      wrong: await workload('wrong', wrong),
      secret: wrong,
      serviceAccount: `file:${accountPath}`,
    };
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://double');
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const bytes = Buffer.concat(chunks);
    if (pathname === '/token') return this.#giveToken(bytes.toString(), response);
    const name = decodeURIComponent(pathname.split('/o/')[1] ?? searchParams.get('name') ?? '');
    const asked = { method: request.method ?? '', path: pathname, name, query: searchParams, headers: request.headers };
    this.asked.push(asked);
    if (this.#requiresToken && !this.#isKnown(request.headers.authorization)) {
      return refuse(response, 401, 'authError', 'Invalid Credentials');
    }
    const { answer, ask, sent, before, after, reply, loseReply } = this.fault(asked);
    if (answer !== undefined) return refuse(response, answer.status, answer.reason, answer.message);
    await before?.();
    if (await this.#isTaken(asked))
      return refuse(response, 412, 'conditionNotMet', 'At least one condition did not hold.');
    const body = sent?.(bytes) ?? bytes;
    const onward = forward({
      ...{ host: '127.0.0.1', port: this.#port, method: request.method, path: ask?.(request.url ?? '') ?? request.url },
      headers: { ...request.headers, 'content-length': String(body.length) },
    });
    onward.end(body);
    const [replied] = (await once(onward, 'response')) as [IncomingMessage];
    const answered: Buffer[] = [];
    for await (const chunk of replied) answered.push(chunk as Buffer);
    const { location } = replied.headers;
    if (searchParams.has('ifGenerationMatch') && location !== undefined && ask === undefined) {
      this.#conditional.add(new URL(location).searchParams.get('upload_id') ?? '');
    }
    await after?.();
    if (loseReply === true) return void response.destroy();
    const given = Buffer.concat(answered);
    const told = reply?.(given) ?? given;
    const { 'transfer-encoding': _, ...headers } = replied.headers;
    response.writeHead(replied.statusCode ?? 500, { ...headers, 'content-length': String(told.length) });
    response.end(told);
  }

  /** Whether with this chunk an upload would end under a name that somebody else has taken meanwhile. */
  async #isTaken({ path, query, name, headers }: Asked): Promise<boolean> {
    const [, last = '', size = ''] = /^bytes \d+-(\d+)\/(\d+)$/.exec(headers['content-range'] ?? '') ?? [];
    if (Number(last) + 1 !== Number(size) || !this.#conditional.has(query.get('upload_id') ?? '')) return false;
    const at = `http://127.0.0.1:${this.#port}${path.replace('/upload', '')}/${encodeURIComponent(name)}`;
    return (await fetch(at)).ok;
  }

  #giveToken(form: string, response: ServerResponse): void {
    const isGood = this.tokenError === undefined && new URLSearchParams(form).get('subject_token') === this.#subject;
    const told = isGood
      ? { access_token: this.#token, issued_token_type: 'access_token', token_type: 'Bearer', expires_in: 3600 }
      : (this.tokenError ?? { error: 'invalid_grant', error_description: 'The subject is not known.' });
    response.writeHead(isGood ? 200 : 400, { 'content-type': 'application/json' });
    response.end(JSON.stringify(told));
  }

  /** The token that was given, or one that the service account has signed. */
  #isKnown(authorization = ''): boolean {
    const token = authorization.replace(/^Bearer /, '');
    if (token === this.#token) return true;
    const [header = '', claims = '', signature = ''] = token.split('.');
    const verify = createVerify('RSA-SHA256').update(`${header}.${claims}`);
    return signature !== '' && verify.verify(this.#keys.publicKey, Buffer.from(signature, 'base64url'));
  }
}

function refuse(response: ServerResponse, status: number, reason = 'backendError', message = reason): void {
  const text = JSON.stringify({ error: { code: status, message, errors: [{ domain: 'global', reason, message }] } });
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  response.end(text);
}
