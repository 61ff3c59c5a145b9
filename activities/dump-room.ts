import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { CofreError, nativeCode } from '../errors/error.ts';
import type { BackupPlan } from './plans.ts';
import { readIfThere, writeFileWhole, type Spool } from './spool.ts';

/** Reserve for growth since the last backup and for what an estimate misses. */
const MARGIN = 1.2;
/** Of the raw size, where no backup tells better: ordinary business data compress to a fifth. */
const COMPRESSED_SHARE = 0.5;

/**
 * The room that one backup's dump needs in the spool: asked for before, kept while it is written. A dump that did not fit
 * leaves behind how much it needs, so that the run does not load the server again and again for nothing.
 */
export class DumpRoom {
  readonly #spool: Spool;
  readonly #plan: BackupPlan;
  readonly #rawBytes: number;

  /** `rawBytes`: how much data are expected. */
  constructor(spool: Spool, plan: BackupPlan, rawBytes: number) {
    this.#spool = spool;
    this.#plan = plan;
    this.#rawBytes = rawBytes;
  }

  /** Before the dump. @throws CofreError `no-space` */
  async require(): Promise<void> {
    await this.#spool.requireRoom(await this.#neededBytes(), `the dump of ${this.#plan.environment.id}`);
  }

  /** While it is written into `directory`. @throws CofreError `no-space` as soon as it takes what must stay free. */
  async keep(directory: string): Promise<void> {
    const roomBytes = await this.#spool.roomBytes();
    if (roomBytes < 0) throw await this.#tooSmall(roomBytes, directory, undefined);
  }

  /** Why the dump in `directory` failed: a full disk is told as `keep` tells it. */
  async explain(error: unknown, directory: string): Promise<unknown> {
    if (!(error instanceof CofreError) || error.code !== 'no-space' || error instanceof DumpTooLarge) return error;
    return await this.#tooSmall(await this.#spool.roomBytes(), directory, error);
  }

  /** For the next try, after what was written is removed. */
  async remember(error: unknown): Promise<void> {
    if (error instanceof DumpTooLarge) await writeFileWhole(this.#noteFile, JSON.stringify(error.neededBytes));
  }

  async #tooSmall(roomBytes: number, directory: string, cause: unknown): Promise<DumpTooLarge> {
    const writtenBytes = await folderBytes(directory);
    const neededBytes = Math.max(await this.#neededBytes(), writtenBytes * MARGIN);
    const what = `the dump of ${this.#plan.environment.id}, of which ${Math.round(writtenBytes / 1e6)} MB were written,`;
    return new DumpTooLarge(this.#spool.noSpace(neededBytes, roomBytes, what, cause), neededBytes);
  }

  async #neededBytes(): Promise<number> {
    const note = await readIfThere(this.#noteFile);
    return Math.max(this.#expectedBytes, note === undefined ? 0 : Number(JSON.parse(note.toString('utf8'))));
  }

  get #expectedBytes(): number {
    const { pipeline, lastSizes } = this.#plan;
    // Packing the compressed files takes their size once more.
    if (pipeline === 'staged') return Math.max(this.#rawBytes, 2 * (lastSizes?.sizeBytes ?? 0)) * MARGIN;
    return (lastSizes === null ? this.#rawBytes * COMPRESSED_SHARE : lastSizes.sizeBytes) * MARGIN;
  }

  get #noteFile(): string {
    return join(this.#spool.folder(this.#plan.environment.id, this.#plan.backupId), 'needs.json');
  }
}

class DumpTooLarge extends CofreError {
  readonly neededBytes: number;

  constructor({ message, hint, cause }: CofreError, neededBytes: number) {
    super('no-space', message, { cause, ...(hint === undefined ? {} : { hint }) });
    this.neededBytes = neededBytes;
  }
}

async function folderBytes(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const sizes = entries.filter((entry) => entry.isFile()).map((entry) => fileBytes(join(entry.parentPath, entry.name)));
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

async function fileBytes(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (nativeCode(error) === 'ENOENT') return 0;
    throw error;
  }
}
