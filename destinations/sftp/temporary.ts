import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Body } from '../destination.ts';
import { isDead, ownerMark } from '../temporary-file.ts';
import { STATUS, ignoreStatus } from './errors.ts';
import { entriesOf, removeIfEmpty, unlink } from './files.ts';
import type { SftpSession } from './session.ts';

/**
 * What a put writes to until it is whole: `.put-<what>-<who>-<random>`. No key begins with a dot, so these names never meet
 * an object's; `what` tells a later put of the same bytes under the same name that it may go on there.
 */
const NAME = /^\.put-([0-9a-f]{16})-([0-9a-f]{12}-[0-9]+-[0-9]+)-[0-9a-f]{12}$/;
/** See `publish.ts`. */
export const CLAIM_PREFIX = '.claim-';

/** Nobody goes on with it any more: a run has ended by then, and its own temporaries went with it. */
const ABANDONED_AFTER_SECONDS = 24 * 3600;
/** What a smaller body has sent is not worth looking for. */
export const WORTH_RESUMING_BYTES = 1024 * 1024;

/** Those of this process that a put is writing to now. */
const inUse = new Set<string>();

export interface Temporary {
  readonly path: string;
  /** How many bytes stand there; none of them are proven yet. */
  readonly sizeBytes: number;
}

/** Which temporaries hold, or will hold, these bytes for this name. */
export function contentMark(name: string, { sizeBytes, sha256 }: Body): string {
  return createHash('sha256').update(`${name}\n${sizeBytes}\n${sha256}`).digest('hex').slice(0, 16);
}

/** A new name, in use until `release`. */
export function claimTemporary(folder: string, mark: string): string {
  const path = `${folder}/.put-${mark}-${ownerMark()}-${randomBytes(6).toString('hex')}`;
  inUse.add(path);
  return path;
}

export function release(path: string): void {
  inUse.delete(path);
}

/** What puts have left in a folder, or are writing there now. */
export interface Leftover {
  readonly path: string;
  /** Undefined for a claim. */
  readonly mark: string | undefined;
  readonly owner: string;
  /** By the server's clock. */
  readonly changedAtSeconds: number;
}

export async function leftoversIn(session: SftpSession, folder: string, signal?: AbortSignal): Promise<Leftover[]> {
  const found: Leftover[] = [];
  for await (const { filename, attrs } of entriesOf(session, folder, signal)) {
    const [, mark, owner = ''] = NAME.exec(filename) ?? [];
    if (mark === undefined && !filename.startsWith(CLAIM_PREFIX)) continue;
    found.push({ path: `${folder}/${filename}`, mark, owner, changedAtSeconds: attrs.mtime });
  }
  return found;
}

/**
 * Takes over what an interrupted put of the same bytes has left, under a new name that is in use until `release`; undefined
 * where there is none. By the new name two puts cannot take one, and one that was only thought dead cannot publish: what it
 * may still write are the same bytes at the same places.
 */
export async function takeOver(
  session: SftpSession,
  folder: string,
  leftovers: readonly Leftover[],
  body: Body,
  { mark, watchMs, signal }: { mark: string; watchMs: number; signal: AbortSignal | undefined },
): Promise<Temporary | undefined> {
  for (const { path, mark: itsMark, owner } of leftovers) {
    if (itsMark !== mark || inUse.has(path)) continue;
    const isOurs = owner === ownerMark();
    if (!isOurs && !isDead(owner) && !(await standsStill(session, path, watchMs, signal))) continue;
    const taken = claimTemporary(folder, mark);
    try {
      await session.ask<void>((sftp, done) => sftp.rename(path, taken, done), signal);
      const found = await session.look(taken, signal);
      if (found?.isFile() === true && found.size <= body.sizeBytes) return { path: taken, sizeBytes: found.size };
      await unlink(session, taken, signal);
      release(taken);
    } catch (error) {
      release(taken);
      // Another put was faster.
      ignoreStatus(STATUS.noSuchFile)(error);
    }
  }
  return undefined;
}

/** Of a process of another machine nobody here can say whether it lives; but one that lives writes. */
async function standsStill(
  session: SftpSession,
  path: string,
  watchMs: number,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const before = await session.look(path, signal);
  await sleep(watchMs, undefined, signal === undefined ? {} : { signal }).catch(() => signal?.throwIfAborted());
  const after = await session.look(path, signal);
  return before !== undefined && before.size === after?.size && before.mtime === after.mtime;
}

/**
 * Removes what puts that ended long ago have left, and all that hold the bytes of `mark` and belong to nobody who lives.
 * `nowSeconds` is the server's clock, the time of a file just written: that of this host may differ.
 */
export async function removeAbandoned(
  session: SftpSession,
  leftovers: readonly Leftover[],
  nowSeconds: number,
  { mark, signal }: { mark?: string; signal: AbortSignal | undefined },
): Promise<void> {
  for (const { path, mark: itsMark, owner, changedAtSeconds } of leftovers) {
    if (inUse.has(path)) continue;
    const isOld = nowSeconds - changedAtSeconds > ABANDONED_AFTER_SECONDS;
    const isDone = itsMark !== undefined && itsMark === mark && (owner === ownerMark() || isDead(owner));
    if (itsMark === undefined && isOld) await removeIfEmpty(session, path, signal);
    else if (isOld || isDone) await unlink(session, path, signal);
  }
}
