import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { GcsConfig } from '../config/destination-schema.ts';
import { freePort } from '../tools/free-port.ts';
import { projectFolder } from '../tools/project-folder.ts';
import { startServer, type RunningServer } from '../tools/running-server.ts';

/**
 * What stands for Google Cloud Storage in a test file. `fake`: fake-gcs-server, which keeps conditions, checksums and pages, and ends an
 * upload when it is asked how far it is. `emulator`: gcp-storage-emulator, for going on with an upload and nothing else.
 */
export class GcsServer {
  readonly folder: string;
  readonly port: number;
  readonly #kind: 'fake' | 'emulator';
  readonly #root: string | undefined;
  #server: RunningServer | undefined;
  #buckets = 0;

  private constructor(kind: 'fake' | 'emulator', folder: string, port: number, root: string | undefined) {
    this.#kind = kind;
    this.folder = folder;
    this.port = port;
    this.#root = root;
  }

  /** The fake keeps everything in memory, unless there is a `root`. */
  static async start(kind: 'fake' | 'emulator' = 'fake', root?: string): Promise<GcsServer> {
    const folder = await mkdtemp(join(tmpdir(), 'cofre-gcs-'));
    const server = new GcsServer(kind, folder, await freePort(), root);
    await server.#start();
    return server;
  }

  async #start(): Promise<void> {
    const tools = join(projectFolder, '.tools/gcs');
    const program =
      this.#kind === 'fake'
        ? { path: join(tools, 'fake-gcs-server'), args: this.#argsOfFake() }
        : {
            path: '/usr/bin/env',
            args: ['python3', '-m', 'gcp_storage_emulator', ...(await this.#argsOfEmulator())],
            env: { PYTHONPATH: join(tools, 'emulator'), PYTHONWARNINGS: 'ignore', PATH: process.env['PATH'] ?? '' },
          };
    this.#server = await startServer(
      {
        name: this.#kind === 'fake' ? 'fake-gcs-server' : 'gcp-storage-emulator',
        port: this.port,
        ...program,
        logFile: join(this.folder, 'log'),
        endSignal: this.#kind === 'fake' ? 'SIGTERM' : 'SIGINT',
      },
      () =>
        fetch(`http://127.0.0.1:${this.port}/storage/v1/b?project=test`).then(
          () => true,
          () => false,
        ),
    );
  }

  #argsOfFake(): string[] {
    const at = ['-scheme', 'http', '-host', '127.0.0.1', '-port', String(this.port), '-log-level', 'error'];
    const kept = this.#root === undefined ? ['-backend', 'memory'] : ['-filesystem-root', this.#root];
    return [...at, ...kept, '-public-host', `127.0.0.1:${this.port}`];
  }

  async #argsOfEmulator(): Promise<string[]> {
    const data = join(this.folder, 'data');
    await mkdir(data);
    return ['-d', data, 'start', '-q', '--host=127.0.0.1', `--port=${this.port}`];
  }

  /** A new, empty bucket, as a destination's configuration has it; reached through `port` if that is another. */
  async bucket(more: Partial<GcsConfig> = {}, port = this.port): Promise<GcsConfig> {
    this.#buckets += 1;
    const bucket = `bucket-${this.#buckets}`;
    const made = await fetch(`http://127.0.0.1:${this.port}/storage/v1/b?project=test`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ name: bucket }),
    });
    if (!made.ok) throw new Error(`no bucket: ${made.status} ${await made.text()}`);
    return { type: 'gcs', bucket, endpoint: `http://127.0.0.1:${port}`, ...more };
  }

  async stop(): Promise<void> {
    await this.#server?.stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}
