import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { openClient, type PostgresTarget } from '../../postgres/connect.ts';
import type { Canaries, Hit } from './canaries.ts';

const LOOK_EVERY_MS = 50;

/** A file that held a canary at some moment. */
export interface SeenFile extends Hit {
  readonly mode: string;
}

/**
 * Looks again and again at what is only there for a moment: arguments and environments of all processes of the machine,
 * the statements of all sessions of a server, the files below some folders.
 */
export class Watch {
  readonly processes: Hit[] = [];
  readonly statements: Hit[] = [];
  readonly files: SeenFile[] = [];
  readonly #canaries: Canaries;
  readonly #folders: readonly string[];
  readonly #onFile: (path: string, content: Buffer) => void;
  readonly #seen = new Set<string>();
  #running = true;
  #ended: Promise<void> | undefined;

  constructor(canaries: Canaries, folders: readonly string[], onFile: (path: string, content: Buffer) => void) {
    this.#canaries = canaries;
    this.#folders = folders;
    this.#onFile = onFile;
  }

  /** `onFile` is given every file before it is searched. */
  static async start(
    canaries: Canaries,
    folders: readonly string[],
    server: PostgresTarget,
    onFile: (path: string, content: Buffer) => void = () => undefined,
  ): Promise<Watch> {
    const watch = new Watch(canaries, folders, onFile);
    const client = await openClient(server);
    watch.#ended = (async () => {
      while (watch.#running) {
        watch.look();
        const { rows } = await client.query<{ query: string }>(
          'SELECT query FROM pg_stat_activity WHERE pid <> pg_backend_pid()',
        );
        for (const { query } of rows)
          if (watch.#isNew(query)) watch.statements.push(...canaries.find(query.slice(0, 100), query));
        await sleep(LOOK_EVERY_MS);
      }
      await client.end();
    })();
    return watch;
  }

  look(): void {
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      if (Number(pid) === process.pid) continue;
      for (const file of ['cmdline', 'environ']) {
        const content = read(`/proc/${pid}/${file}`);
        if (content === undefined || !this.#isNew(content.toString('latin1'))) continue;
        const name = read(`/proc/${pid}/comm`)?.toString('utf8').trim() ?? '';
        this.processes.push(...this.#canaries.find(`${file} of ${name}`, content));
      }
    }
    for (const folder of this.#folders) this.#lookBelow(folder);
  }

  async stop(): Promise<void> {
    this.#running = false;
    await this.#ended;
  }

  #isNew(text: string): boolean {
    const before = this.#seen.size;
    return this.#seen.add(text).size > before;
  }

  #lookBelow(folder: string): void {
    let entries;
    try {
      entries = readdirSync(folder, { withFileTypes: true });
    } catch {
      return; // not there yet, or gone again
    }
    for (const entry of entries) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) this.#lookBelow(path);
      else if (entry.isFile()) this.#lookAt(path);
    }
  }

  #lookAt(path: string): void {
    try {
      const { mode, size, mtimeMs, ino } = lstatSync(path);
      if (!this.#isNew(`${path} ${ino} ${size} ${mtimeMs}`)) return;
      const content = readFileSync(path);
      this.#onFile(path, content);
      const hits = this.#canaries.find(path, content);
      this.files.push(...hits.map((hit) => ({ ...hit, mode: (mode & 0o777).toString(8) })));
    } catch {
      // gone while we looked
    }
  }
}

function read(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch {
    return undefined; // it has ended, or is another user's
  }
}
