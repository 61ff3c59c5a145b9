import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { S3Config } from '../config/destination-schema.ts';
import { freePort } from '../tools/free-port.ts';
import { projectFolder } from '../tools/project-folder.ts';
import { startServer, type RunningServer } from '../tools/running-server.ts';

const REGION = 'us-east-1';

/** A real S3 service of one test file's own: Versity's gateway over a folder, in which each folder is a bucket. */
export class S3Server {
  readonly folder: string;
  readonly port: number;
  /** Where the buckets lie. */
  readonly root: string;
  /** Its only user, the same for all servers of this process, which has it as `env:` references. */
  readonly accessKeyId = (process.env['COFRE_TEST_S3_ID'] ??= `AK${randomBytes(8).toString('hex').toUpperCase()}`);
  readonly secretAccessKey = (process.env['COFRE_TEST_S3_SECRET'] ??= randomBytes(20).toString('hex'));
  #server: RunningServer | undefined;
  #buckets = 0;

  private constructor(folder: string, root: string, port: number) {
    this.folder = folder;
    this.root = root;
    this.port = port;
  }

  /** `root` is where the buckets lie: a folder of its own unless told. */
  static async start(root?: string): Promise<S3Server> {
    const folder = await mkdtemp(join(tmpdir(), 'cofre-s3-'));
    const server = new S3Server(folder, root ?? join(folder, 'buckets'), await freePort());
    await server.#start();
    return server;
  }

  async #start(): Promise<void> {
    const { root } = this;
    await mkdir(root, { recursive: true });
    const versions = join(this.folder, 'versions');
    await mkdir(versions);
    const address = `127.0.0.1:${this.port}`;
    this.#server = await startServer(
      {
        name: 'versitygw',
        port: this.port,
        path: join(projectFolder, '.tools/versitygw/versitygw'),
        args: [
          '--port',
          address,
          '--region',
          REGION,
          '--keep-alive',
          '--quiet',
          'posix',
          '--versioning-dir',
          versions,
          root,
        ],
        env: { ROOT_ACCESS_KEY: this.accessKeyId, ROOT_SECRET_KEY: this.secretAccessKey },
        logFile: join(this.folder, 'log'),
        endSignal: 'SIGTERM',
      },
      () =>
        fetch(`http://${address}/`).then(
          () => true,
          () => false,
        ),
    );
  }

  /** A new, empty bucket, as a destination's configuration has it; reached through `port` if that is another. */
  async bucket(more: Partial<S3Config> = {}, port = this.port): Promise<S3Config> {
    this.#buckets += 1;
    const bucket = `bucket-${this.#buckets}`;
    await mkdir(join(this.root, bucket));
    return {
      type: 's3',
      bucket,
      region: REGION,
      endpoint: `http://127.0.0.1:${port}`,
      credentials: { accessKeyId: 'env:COFRE_TEST_S3_ID', secretAccessKey: 'env:COFRE_TEST_S3_SECRET' },
      checksum: 'crc32',
      partSize: '6MB',
      connections: 3,
      ...more,
    };
  }

  async stop(): Promise<void> {
    await this.#server?.stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}
