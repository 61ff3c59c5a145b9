import { lstat, mkdir, open, readFile, readdir, rename, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';

import { isBackupId } from '../catalog/backup-id.ts';
import { keepFreeBytes } from '../config/keep-free.ts';
import { CofreError, nativeCode } from '../errors/error.ts';

/** Names that may become folders: environments, backup ids, restore ids, attempts. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9-]{0,127}$/;

/**
 * A host's local folder for work in progress: `<spool>/<environment>/<backup or restore>/<attempt>/`.
 * An attempt has a folder of its own, so a frozen one that wakes up writes where nobody looks.
 */
export class Spool {
  readonly path: string;
  readonly #keepFree: string;

  constructor(path: string, keepFree: string) {
    this.path = path;
    this.#keepFree = keepFree;
  }

  /** For password files and the like of running tools: emptied when the worker starts. */
  get scratch(): string {
    return join(this.path, '.run', 'scratch');
  }

  /** Records of the process groups under way. */
  get records(): string {
    return join(this.path, '.run', 'groups');
  }

  /** Addresses of uploads that go on after an interruption: secrets, which stay until their upload ends or nobody needs it. */
  get uploads(): string {
    return join(this.path, '.run', 'uploads');
  }

  folder(...names: readonly string[]): string {
    for (const name of names) {
      if (!NAME.test(name))
        throw new CofreError('invalid-key', `"${name.slice(0, 130)}" cannot be a folder of the spool`);
    }
    return join(this.path, ...names);
  }

  async create(...names: readonly string[]): Promise<string> {
    const folder = this.folder(...names);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    return folder;
  }

  /** Removes one folder of the spool and what is in it. A folder that is gone already is fine; a link is refused. */
  async remove(...names: readonly string[]): Promise<void> {
    if (names.length < 2) throw new CofreError('invalid-key', 'refuses to remove more of the spool than one run');
    for (let depth = 0; depth <= names.length; depth += 1) {
      const folder = this.folder(...names.slice(0, depth));
      const found = await lstat(folder).catch(ignoreMissing);
      if (found === undefined) return;
      if (!found.isDirectory()) {
        throw new CofreError(
          'invalid-key',
          `${folder} is not a folder of the spool but something else; nothing was removed`,
          {
            hint: 'look who put it there',
          },
        );
      }
    }
    await rm(this.folder(...names), { recursive: true, force: true });
  }

  /** The entries of a folder of the spool; none if it does not exist, or is no folder. */
  async entries(...names: readonly string[]): Promise<string[]> {
    const found = await readdir(this.folder(...names)).catch((error: unknown) =>
      nativeCode(error) === 'ENOTDIR' ? undefined : ignoreMissing(error),
    );
    return (found ?? []).filter((name) => NAME.test(name)).sort();
  }

  async backupIds(environment: string): Promise<string[]> {
    return (await this.entries(environment)).filter((name) => isBackupId(name));
  }

  /** How many bytes a step may still write, so that `keepFree` stays free. */
  async roomBytes(): Promise<number> {
    const { bavail, blocks, bsize } = await statfs(this.path);
    return bavail * bsize - keepFreeBytes(this.#keepFree, blocks * bsize);
  }

  /** @throws CofreError `no-space` when there is not that much room. */
  async requireRoom(neededBytes: number, what: string): Promise<void> {
    const roomBytes = await this.roomBytes();
    if (roomBytes < neededBytes) throw this.noSpace(neededBytes, roomBytes, what);
  }

  /** What a step that needs more room than there is says of it. */
  noSpace(neededBytes: number, roomBytes: number, what: string, cause?: unknown): CofreError {
    const mb = (bytes: number): string => `${Math.max(Math.ceil(bytes / 1e6), 0)} MB`;
    return new CofreError(
      'no-space',
      `${what} needs about ${mb(neededBytes)} in ${this.path}, and there are ${mb(roomBytes)} above the ${this.#keepFree} that stay free`,
      { cause, hint: 'make room in the file system of the spool, or give the host a larger one' },
    );
  }
}

/** Writes a small file whole or not at all, durable when this returns. */
export async function writeFileWhole(path: string, content: Buffer | string): Promise<void> {
  const temporary = `${path}.part`;
  const file = await open(temporary, 'w', 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}

/** The file's bytes, or undefined if there is none. */
export async function readIfThere(path: string): Promise<Buffer | undefined> {
  return await readFile(path).catch(ignoreMissing);
}

function ignoreMissing(error: unknown): undefined {
  if (nativeCode(error) === 'ENOENT') return undefined;
  throw error;
}
