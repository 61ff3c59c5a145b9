import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

import { parseHold } from '../../catalog/hold.ts';
import { parseManifest } from '../../catalog/parse-manifest.ts';
import { isAliasKey } from '../../config/alias.ts';
import { withClient } from '../../postgres/connect.ts';
import { nativeCode } from '../../errors/error.ts';
import type { CrashSite } from './site.ts';

const run = promisify(execFile);
const LOOK_EVERY_MS = 100;

/**
 * Looks all the time at what others can see, as they would: destination, catalog and databases. Whatever is half-made
 * there at any moment is a fault.
 */
export class Watcher {
  readonly faults: string[] = [];
  readonly #site: CrashSite;
  /** What a live name may lead to, by environment, and what it led to last. */
  readonly #states = new Map<string, { readonly order: readonly string[]; at: number }>();
  /** Size of every object that was ever seen: an object never changes, but for an alias, which is replaced as a whole. */
  readonly #objects = new Map<string, number>();
  readonly #verified = new Set<string>();
  #stopped = false;
  #watching: Promise<void> | undefined;

  constructor(site: CrashSite) {
    this.#site = site;
  }

  /** The live name of `environment` leads to the states of `order`, one after the other and never back. */
  expect(environment: string, order: readonly string[]): void {
    this.#states.set(environment, { order, at: 0 });
  }

  start(): void {
    this.#watching = this.#watch();
  }

  /** @throws Error with everything that was wrong at any moment. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#watching;
    if (this.faults.length > 0) throw new Error(`half-made things were seen:\n${[...new Set(this.faults)].join('\n')}`);
  }

  async #watch(): Promise<void> {
    while (!this.#stopped) {
      for (const folder of this.#site.places.values()) await this.#lookAtDestination(folder, '');
      await this.#lookAtCatalog();
      for (const environment of this.#states.keys()) await this.#lookAtDatabase(environment);
      await sleep(LOOK_EVERY_MS);
    }
  }

  async #lookAtDestination(root: string, folder: string): Promise<void> {
    for (const entry of (await readdir(join(root, folder), { withFileTypes: true }).catch(ignoreGone)) ?? []) {
      const path = join(folder, entry.name);
      // The catalog's own backups are no archives: `catalog.json`, written last, tells which dump counts.
      if (path === '_catalog') continue;
      if (entry.isDirectory()) await this.#lookAtDestination(root, path);
      else if (!entry.name.startsWith('.') && folder !== '') await this.#lookAtObject(root, path);
    }
  }

  async #lookAtObject(root: string, path: string): Promise<void> {
    const found = await stat(join(root, path)).catch(ignoreGone);
    if (found === undefined) return;
    const key = join(root, path);
    const before = this.#objects.get(key);
    if (before === found.size) return;
    if (before !== undefined && !isAliasKey(path))
      return void this.faults.push(`the object ${path} had ${before} bytes and has ${found.size}`);
    this.#objects.set(key, found.size);
    try {
      if (path.endsWith('/manifest.json')) await this.#checkManifest(root, path);
      else if (path.endsWith('/hold.json')) await this.#checkHold(root, path);
      else if (path.endsWith('.zst')) await run('zstd', ['--test', '--quiet', join(root, path)]);
      else if (path.endsWith('.gz')) await run('gzip', ['--test', join(root, path)]);
      else await run('tar', ['--list', `--file=${join(root, path)}`]);
    } catch (error) {
      // One that nobody made a backup may be removed while it is read.
      if ((await stat(join(root, path)).catch(ignoreGone)) === undefined) this.#objects.delete(key);
      else this.faults.push(`the object ${path} is visible and not whole: ${String(error)}`);
    }
  }

  async #checkManifest(root: string, path: string): Promise<void> {
    const manifest = parseManifest(await readFile(join(root, path)));
    for (const { key, sha256 } of manifest.objects) {
      const bytes = await readFile(join(root, path.replace(/manifest\.json$/, key)));
      const found = createHash('sha256').update(bytes).digest('hex');
      if (found !== sha256) this.faults.push(`the object ${key} of ${path} is not the one that its manifest names`);
    }
  }

  async #checkHold(root: string, path: string): Promise<void> {
    const [environment = '', backupId = ''] = path.split('/');
    parseHold(await readFile(join(root, path)), { environment, backupId });
  }

  async #lookAtCatalog(): Promise<void> {
    // While its server is being restarted there is nothing to see.
    const rows = await withClient(this.#site.catalog, async (client) => {
      const found = await client.query<{
        environment: string;
        id: string;
        destination: string;
        sha256: string;
        state: string;
      }>(
        `SELECT b.environment, b.id, c.destination, c.sha256, b.state
           FROM cofre.copies c JOIN cofre.backups b ON b.id = c.backup_id WHERE c.state = 'verified'`,
      );
      return found.rows;
    }).catch(() => []);
    for (const { environment, id, destination, sha256 } of rows) {
      if (this.#verified.has(`${id} ${destination}`)) continue;
      this.#verified.add(`${id} ${destination}`);
      const place = this.#site.places.get(destination);
      // What lies there is damaged on purpose.
      if (place === undefined) continue;
      const path = join(environment, id, 'manifest.json');
      const bytes = await readFile(join(place, path)).catch(ignoreGone);
      if (bytes === undefined)
        this.faults.push(`the catalog calls ${id} verified in ${destination}, and there is no ${path}`);
      else if (!parseManifest(bytes).objects.some((object) => object.sha256 === sha256))
        this.faults.push(`the catalog has another hash for ${id} than ${path}`);
    }
  }

  async #lookAtDatabase(environment: string): Promise<void> {
    const expected = this.#states.get(environment);
    const found = await this.#site.look(environment);
    if (expected === undefined || found === 'unknown') return;
    const at = expected.order.indexOf(found, expected.at);
    if (at === -1)
      this.faults.push(`the live database of ${environment} is ${found}, after ${expected.order[expected.at]}`);
    else expected.at = at;
  }
}

function ignoreGone(error: unknown): undefined {
  if (nativeCode(error) === 'ENOENT') return undefined;
  throw error;
}
