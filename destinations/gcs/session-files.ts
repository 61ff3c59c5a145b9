import { createHash, randomBytes } from 'node:crypto';
import { open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { z } from 'zod';

import { Secret } from '../../config/secret.ts';
import { nativeCode } from '../../errors/error.ts';
import { makePrivateFolder } from '../../processes/own-folder.ts';
import type { Body } from '../destination.ts';
import type { GcsBucket } from './bucket.ts';

/** The service forgets a session a week after it began. */
const FORGOTTEN_AFTER_MS = 7 * 86_400_000;
const NAME = /^[0-9a-f]{64}\.json$/;

const content = z.object({
  format: z.literal(1),
  /** Which bucket of which service. */
  endpoint: z.string(),
  bucket: z.string(),
  name: z.string(),
  /** Which bytes: a session that began with others is of no use. */
  sizeBytes: z.int().min(0),
  sha256: z.string(),
  beganAt: z.iso.datetime(),
  address: z.string(),
});
type Content = z.output<typeof content>;

/**
 * Where the addresses of unfinished uploads are kept, one file for each object. Whoever knows an address can write under it
 * without credentials, so the files are the worker's alone, and an address is a `Secret` everywhere else.
 * Without a folder nothing is kept: an upload that was interrupted begins again.
 */
export class SessionFiles {
  readonly #folder: string | undefined;
  readonly #bucket: GcsBucket;

  constructor(folder: string | undefined, bucket: GcsBucket) {
    this.#folder = folder;
    this.#bucket = bucket;
  }

  /** The address under which these very bytes are on their way to this name; undefined if there is none. */
  async recall(name: string, body: Body): Promise<Secret | undefined> {
    if (this.#folder === undefined) return undefined;
    const known = await readSession(join(this.#folder, this.#fileName(name)));
    const isSame = known?.sizeBytes === body.sizeBytes && known.sha256 === body.sha256 && this.#isOurs(known);
    return known !== undefined && isSame && known.name === name ? new Secret(known.address) : undefined;
  }

  /** Durable when this returns: bytes are sent only afterwards. */
  async remember(name: string, { sizeBytes, sha256 }: Body, address: Secret): Promise<void> {
    if (this.#folder === undefined) return;
    await makePrivateFolder(this.#folder);
    const { endpoint, config } = this.#bucket;
    const known: Content = {
      format: 1,
      endpoint,
      bucket: config.bucket,
      name,
      sizeBytes,
      sha256,
      beganAt: new Date().toISOString(),
      address: address.reveal(),
    };
    const path = join(this.#folder, this.#fileName(name));
    const temporary = `${path}.${randomBytes(6).toString('hex')}.part`;
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(JSON.stringify(known));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  }

  /** Whether an upload to this name is still wanted: `discard` takes its file away. */
  async isWanted(name: string): Promise<boolean> {
    if (this.#folder === undefined) return true;
    return await stat(join(this.#folder, this.#fileName(name))).then(
      () => true,
      (error: unknown) => {
        if (nativeCode(error) === 'ENOENT') return false;
        throw error;
      },
    );
  }

  async forget(name: string): Promise<void> {
    if (this.#folder !== undefined) await rm(join(this.#folder, this.#fileName(name)), { force: true });
  }

  /** The uploads to names that begin so. */
  async below(beginning: string): Promise<{ name: string; address: Secret }[]> {
    const all = await sessionsIn(this.#folder);
    return all
      .filter(({ known }) => this.#isOurs(known) && known.name.startsWith(beginning))
      .map(({ known }) => ({ name: known.name, address: new Secret(known.address) }));
  }

  #isOurs({ endpoint, bucket }: Content): boolean {
    return endpoint === this.#bucket.endpoint && bucket === this.#bucket.config.bucket;
  }

  #fileName(name: string): string {
    const { endpoint, config } = this.#bucket;
    return `${createHash('sha256').update([endpoint, config.bucket, name].join('\n')).digest('hex')}.json`;
  }
}

/** An upload that a put on this host has left unfinished. */
export interface UnfinishedUpload {
  /** The name in the bucket: its end is the key. */
  readonly name: string;
  readonly bucket: string;
  /** The service does not know it any more. */
  readonly isForgotten: boolean;
  readonly remove: () => Promise<void>;
}

/** All of them, for whoever knows which runs are alive. What was being written when a worker was killed is removed on the way. */
export async function unfinishedUploads(folder: string, now = Date.now()): Promise<UnfinishedUpload[]> {
  await removeParts(folder, now);
  return (await sessionsIn(folder)).map(({ path, known }) => ({
    name: known.name,
    bucket: known.bucket,
    isForgotten: now - Date.parse(known.beganAt) > FORGOTTEN_AFTER_MS,
    remove: () => rm(path, { force: true }),
  }));
}

async function sessionsIn(folder: string | undefined): Promise<{ path: string; known: Content }[]> {
  const found: { path: string; known: Content }[] = [];
  for (const file of folder === undefined ? [] : await entries(folder)) {
    if (folder === undefined || !NAME.test(file)) continue;
    const path = join(folder, file);
    const known = await readSession(path);
    if (known !== undefined) found.push({ path, known });
  }
  return found;
}

/** undefined: there is none, or none that this Cofre can read; the put then begins anew. */
async function readSession(path: string): Promise<Content | undefined> {
  try {
    return content.safeParse(JSON.parse(await readFile(path, 'utf8'))).data;
  } catch (error) {
    if (nativeCode(error) === 'ENOENT' || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

const WRITTEN_WITHIN_MS = 60_000;

async function removeParts(folder: string, now: number): Promise<void> {
  for (const file of await entries(folder)) {
    if (!file.endsWith('.part')) continue;
    const path = join(folder, file);
    const found = await stat(path).catch(() => undefined);
    if (found !== undefined && now - found.mtimeMs > WRITTEN_WITHIN_MS) await rm(path, { force: true });
  }
}

async function entries(folder: string): Promise<string[]> {
  return await readdir(folder).catch((error: unknown) => {
    if (nativeCode(error) === 'ENOENT') return [];
    throw error;
  });
}
