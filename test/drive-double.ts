import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const FOLDER = 'application/vnd.google-apps.folder';
const ROOT = 'the-root';

export interface DriveFile {
  id: string;
  name: string;
  parents: string[];
  mimeType: string;
  trashed: boolean;
  content: Buffer;
}

/** What a request is answered with instead of what it asked for. */
export interface DriveFault {
  readonly status: number;
  readonly body: object;
}

/** An error as Google's services tell it. */
export function driveError(status: number, reason: string, message: string): DriveFault {
  return { status, body: { error: { code: status, message, errors: [{ domain: 'usageLimits', reason, message }] } } };
}

/**
 * As much of Google Drive's interface as rclone uses for files in folders: ids, several files of one name, a trash, uploads in
 * pieces, tokens. rclone's own `drive` reaches it as it would the real one, through a proxy with a certificate of its own.
 */
export class DriveDouble {
  readonly files = new Map<string, DriveFile>();
  /** Asked for each request: `POST /token`, `PATCH /drive/v3/files/…`. */
  fault: (asked: string, query: URLSearchParams) => DriveFault | undefined = () => undefined;
  /** Called when a request has been done. */
  done: (asked: string) => void = () => undefined;
  readonly folder: string;
  readonly #proxy: Server;
  readonly #tls: ReturnType<typeof createTlsServer>;
  readonly #sessions = new Map<string, { file: DriveFile; pieces: Buffer[] }>();
  readonly #sockets = new Set<Socket>();

  private constructor(folder: string) {
    this.folder = folder;
    const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
    const names = 'subjectAltName=DNS:www.googleapis.com,DNS:oauth2.googleapis.com';
    const made = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
    const named = ['-subj', '/CN=a double of Drive', '-addext', names, '-keyout', key, '-out', cert];
    execFileSync('openssl', [...made, ...named], { stdio: 'ignore' });
    this.#tls = createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }, (request, response) => {
      this.#serve(request, response).catch(() => response.destroy());
    });
    this.#proxy = createServer().on('connect', (_request: IncomingMessage, socket: Socket) => {
      this.#sockets.add(socket.on('error', () => undefined));
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      this.#tls.emit('connection', socket);
    });
  }

  static async start(): Promise<DriveDouble> {
    const double = new DriveDouble(await mkdtemp(join(tmpdir(), 'cofre-drive-')));
    double.#proxy.listen(0, '127.0.0.1');
    await once(double.#proxy, 'listening');
    return double;
  }

  /** A remote of rclone that leads here, with this token. */
  remote(token: object): Record<string, string> {
    return {
      ...{ type: 'drive', scope: 'drive', client_id: 'an-id', client_secret: 'Canary-Client-0451' },
      ...{ token: JSON.stringify({ token_type: 'Bearer', ...token }), 'global.ca_cert': join(this.folder, 'cert.pem') },
      'global.http_proxy': `http://127.0.0.1:${(this.#proxy.address() as AddressInfo).port}`,
    };
  }

  /** Adds a file, or a folder without content, whatever else has its name. */
  add(path: string, content?: string): DriveFile {
    const names = path.split('/');
    let parent = ROOT;
    for (const name of names.slice(0, -1))
      parent = (this.#in(parent).find((file) => file.name === name) ?? this.#make(name, parent)).id;
    return this.#make(names.at(-1) ?? '', parent, content === undefined ? undefined : Buffer.from(content));
  }

  /** The paths of all files that are not in the trash. */
  paths(parent = ROOT): string[] {
    return this.#in(parent).flatMap(({ id, name, mimeType }) =>
      mimeType === FOLDER ? this.paths(id).map((below) => `${name}/${below}`) : [name],
    );
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#proxy.close();
    await rm(this.folder, { recursive: true });
  }

  #in(parent: string): DriveFile[] {
    return [...this.files.values()].filter(({ parents, trashed }) => parents.includes(parent) && !trashed);
  }

  #make(name: string, parent: string, content?: Buffer): DriveFile {
    const id = `id-${randomBytes(6).toString('hex')}`;
    const mimeType = content === undefined ? FOLDER : 'application/octet-stream';
    const file = { id, name, parents: [parent], mimeType, trashed: false, content: content ?? Buffer.alloc(0) };
    this.files.set(id, file);
    return file;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'https://drive');
    const asked = `${request.method} ${pathname}`;
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const fault = this.fault(asked, searchParams);
    const answer = fault ?? this.#answer(asked, searchParams, request, Buffer.concat(chunks));
    if (fault === undefined) this.done(asked);
    const { status, body, headers = {} } = answer as { status: number; body: object | Buffer; headers?: object };
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(Buffer.isBuffer(body) ? body : JSON.stringify(body));
  }

  #answer(
    asked: string,
    query: URLSearchParams,
    { headers }: IncomingMessage,
    body: Buffer,
  ): { status: number; body: object | Buffer; headers?: object } {
    const id = asked.split('/').at(-1) ?? '';
    const file = this.files.get(id);
    if (asked === 'POST /token') {
      return { status: 200, body: { access_token: `renewed-${randomBytes(9).toString('hex')}`, expires_in: 3600 } };
    }
    if (asked === 'GET /drive/v3/files/root') return { status: 200, body: { id: ROOT } };
    if (asked === 'GET /drive/v3/files') return { status: 200, body: { files: this.#search(query.get('q') ?? '') } };
    if (asked === 'GET /drive/v3/about')
      return { status: 200, body: { storageQuota: { limit: '1000000000', usage: '5' } } };
    if (asked === 'POST /drive/v3/files')
      return { status: 200, body: told(this.#created(JSON.parse(body.toString()), undefined)) };
    if (asked === 'POST /upload/drive/v3/files' && query.get('uploadType') === 'resumable') {
      const session = randomBytes(6).toString('hex');
      const made = { ...(JSON.parse(body.toString()) as { name: string; parents: string[] }) };
      const begun: DriveFile = { ...made, id: `id-${session}`, mimeType: '', trashed: false, content: Buffer.alloc(0) };
      this.#sessions.set(session, { file: begun, pieces: [] });
      return { status: 200, body: {}, headers: { location: `https://www.googleapis.com/session/${session}` } };
    }
    if (asked.startsWith('POST /session/')) {
      const session = this.#sessions.get(id);
      if (session === undefined) return driveError(404, 'notFound', 'no such session');
      session.pieces.push(body);
      const [, last, size] = /-(\d+)\/(\d+)/.exec(headers['content-range'] ?? '') ?? [];
      if (Number(last) + 1 < Number(size)) return { status: 308, body: {}, headers: { range: `bytes=0-${last}` } };
      return { status: 200, body: told(this.#created(session.file, Buffer.concat(session.pieces))) };
    }
    if (asked === 'POST /upload/drive/v3/files') {
      const [, metadata, content] = partsOf(body, headers['content-type'] ?? '');
      return {
        status: 200,
        body: told(this.#created(JSON.parse((metadata ?? '').toString()), content ?? Buffer.alloc(0))),
      };
    }
    if (file === undefined) return driveError(404, 'notFound', 'File not found.');
    if (asked.startsWith('GET ') && query.get('alt') === 'media') return media(file, headers.range);
    if (asked.startsWith('DELETE ')) this.files.delete(id);
    if (asked.startsWith('PATCH ')) {
      Object.assign(file, JSON.parse(body.toString()) as Partial<DriveFile>);
      const added = query.get('addParents');
      if (added !== null) file.parents = [added];
    }
    return { status: 200, body: told(file) };
  }

  #created(
    { name, parents, mimeType }: { name: string; parents: string[]; mimeType?: string },
    content?: Buffer,
  ): DriveFile {
    const file = this.#make(name, parents[0] ?? ROOT, content);
    if (content === undefined && mimeType !== undefined) file.mimeType = mimeType;
    return file;
  }

  /** The questions that rclone asks: of these parents, of this name, folders or files alone, not in the trash. */
  #search(q: string): object[] {
    const all = (pattern: RegExp): string[] => [...q.matchAll(pattern)].map(([, found = '']) => found);
    const [parents, names] = [all(/'([^']+)' in parents/g), all(/name='([^']*)'/g)];
    return parents
      .flatMap((parent) => this.#in(parent))
      .filter(({ name }) => names.length === 0 || names.includes(name))
      .filter(({ mimeType }) => !q.includes(`mimeType!='${FOLDER}'`) || mimeType !== FOLDER)
      .filter(({ mimeType }) => !q.includes(`(mimeType='${FOLDER}'`) || mimeType === FOLDER)
      .map(told);
  }
}

function told({ content, ...file }: DriveFile): object {
  const hash = (algorithm: string): string => createHash(algorithm).update(content).digest('hex');
  const time = { modifiedTime: '2026-11-26T21:00:00.000Z', createdTime: '2026-11-26T21:00:00.000Z' };
  if (file.mimeType === FOLDER) return { ...file, ...time };
  return { ...file, ...time, size: String(content.length), md5Checksum: hash('md5'), sha256Checksum: hash('sha256') };
}

function media({ content }: DriveFile, range: string | undefined): { status: number; body: Buffer; headers: object } {
  const [, first, last] = /bytes=(\d+)-(\d*)/.exec(range ?? '') ?? [];
  if (first === undefined) return { status: 200, body: content, headers: { 'content-length': content.length } };
  const end = last === undefined || last === '' ? content.length : Math.min(Number(last) + 1, content.length);
  const body = content.subarray(Number(first), end);
  const contentRange = `bytes ${first}-${end - 1}/${content.length}`;
  return { status: 206, body, headers: { 'content-range': contentRange, 'content-length': body.length } };
}

/** The bodies of a multipart message, after an empty one. */
function partsOf(body: Buffer, contentType: string): Buffer[] {
  const boundary = Buffer.from(`--${/boundary="?([^";]+)/.exec(contentType)?.[1] ?? ''}`);
  const parts: Buffer[] = [];
  for (let from = body.indexOf(boundary); from !== -1;) {
    const to = body.indexOf(boundary, from + boundary.length);
    if (to === -1) break;
    const start = body.indexOf('\r\n\r\n', from) + 4;
    parts.push(body.subarray(start, to - 2));
    from = to;
  }
  return [Buffer.alloc(0), ...parts];
}
