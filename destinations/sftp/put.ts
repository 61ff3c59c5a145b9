import { createHash } from 'node:crypto';
import { posix } from 'node:path';

import { CofreError } from '../../errors/error.ts';
import { badContent } from '../body-reader.ts';
import type { Body, PutOptions, StoreMode } from '../destination.ts';
import { isSame } from '../stored.ts';
import { toSftpError } from './errors.ts';
import { closeLater, describe, openFile, unlink, withFile } from './files.ts';
import { publish, replace } from './publish.ts';
import { explainFailure, requireRoom } from './room.ts';
import type { SftpSession } from './session.ts';
import { StoredPrefix } from './stored-prefix.ts';
import {
  WORTH_RESUMING_BYTES,
  claimTemporary,
  contentMark,
  leftoversIn,
  release,
  removeAbandoned,
  takeOver,
} from './temporary.ts';
import { BlockWriter, readBlocks } from './transfer.ts';

/**
 * Stores `body` at `path` in a folder that exists: whole or not at all, and never over what is there unless `mode` says so.
 * Goes on where an interrupted put of the same bytes was, after the bytes there have been read back and compared.
 * `watchMs`: for how long a temporary of another machine must stand still to be nobody's.
 */
export async function storeObject(
  session: SftpSession,
  path: string,
  body: Body,
  watchMs: number,
  options: PutOptions,
  mode: StoreMode,
): Promise<void> {
  const { signal } = options;
  const folder = posix.dirname(path);
  const mark = contentMark(posix.basename(path), body);
  const [found, leftovers] = await Promise.all([session.look(path, signal), leftoversIn(session, folder, signal)]);
  if (found !== undefined && (await isSame(isStored(session, path, body, options), mode))) {
    // The put that stored it may have been killed before its temporary was removed.
    await removeAbandoned(session, leftovers, found.mtime, { mark, signal });
    return;
  }
  const isLarge = body.sizeBytes >= WORTH_RESUMING_BYTES;
  const old = isLarge ? await takeOver(session, folder, leftovers, body, { mark, watchMs, signal }) : undefined;
  const temporary = old?.path ?? claimTemporary(folder, mark);
  try {
    await requireRoom(session, folder, body.sizeBytes - (old?.sizeBytes ?? 0), signal);
    const handle = await openFile(session, temporary, old === undefined ? 'wx' : 'r+', signal);
    try {
      if (leftovers.length > 0) {
        const { mtime } = await describe(session, handle, signal);
        await removeAbandoned(session, leftovers, mtime, { signal });
      }
      await sendBody(session, handle, old?.sizeBytes ?? 0, body, options);
      await sync(session, handle, signal);
    } catch (error) {
      closeLater(session, handle);
      throw error;
    }
    // Some file systems tell only now that they had no room.
    await session.ask<void>((sftp, done) => sftp.close(handle, done), signal);
    if (mode === 'replace') await replace(session, temporary, path, signal);
    else if ((await publish(session, temporary, path, signal)) === 'exists') {
      await isStored(session, path, body, options);
      await unlink(session, temporary, signal);
    }
    // Once more, for the name: file systems with a journal bring it to the disk with the file's own changes.
    await withFile(session, path, 'r', signal, (published) => sync(session, published, signal));
  } catch (error) {
    const explained = await explainFailure(session, folder, body.sizeBytes, error);
    const cause = toSftpError(explained, `${path} cannot be stored`);
    const goesOn = isLarge && !isFinal(cause);
    // If even that fails, a later put removes it; the first failure is the one to tell.
    if (!goesOn && !session.lost.aborted) await unlink(session, temporary).catch(() => undefined);
    throw cause;
  } finally {
    release(temporary);
  }
}

/** Whether no later try of the same put can succeed, or it needs the room first. */
function isFinal(error: unknown): boolean {
  return error instanceof CofreError && !error.retryable;
}

async function sendBody(
  session: SftpSession,
  handle: Buffer,
  storedBytes: number,
  body: Body,
  { signal, onProgress, pace }: PutOptions,
): Promise<void> {
  const hash = createHash('sha256');
  const writer = new BlockWriter(session, handle, signal);
  const stored = new StoredPrefix(readBlocks([{ session, handle }], 0, Math.min(storedBytes, body.sizeBytes), signal));
  const stream = body.open();
  const onEnd = (): void => {
    stream.destroy((signal?.aborted === true ? signal.reason : session.lost.reason) as Error);
  };
  const enders = signal === undefined ? [session.lost] : [session.lost, signal];
  for (const ender of enders) ender.addEventListener('abort', onEnd, { once: true });
  let position = 0;
  let provenBytes = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      if (position + chunk.length > body.sizeBytes) throw badContent(body);
      hash.update(chunk);
      const same = await stored.leadingBytesOf(chunk);
      provenBytes += same;
      if (same < chunk.length) await pace?.(chunk.length - same);
      await writer.write(chunk.subarray(same), position + same);
      position += chunk.length;
      onProgress?.(provenBytes + writer.confirmedBytes);
    }
    for (const ender of enders) ender.throwIfAborted();
    if (position !== body.sizeBytes || hash.digest('hex') !== body.sha256) throw badContent(body);
    await writer.flush();
    await requireSize(session, handle, position, signal);
    onProgress?.(position);
  } finally {
    writer.release();
    await stored.end();
    for (const ender of enders) ender.removeEventListener('abort', onEnd);
  }
}

/** A server may say that it wrote and not have done so. */
async function requireSize(
  session: SftpSession,
  handle: Buffer,
  sizeBytes: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { size } = await describe(session, handle, signal);
  if (size === sizeBytes) return;
  throw new CofreError('destination-unavailable', `the server took ${sizeBytes} bytes and has ${size} of them`, {
    hint: 'its disk may be full or failing: look at the log of the SSH server',
  });
}

/** Brings what was written to the disk, where the server can be asked to. */
async function sync(session: SftpSession, handle: Buffer, signal: AbortSignal | undefined): Promise<void> {
  await session.ask<unknown>((sftp, done) => {
    try {
      sftp.ext_openssh_fsync(handle, done);
    } catch {
      done(undefined);
    }
  }, signal);
}

/** That what stands there has the same bytes. @throws CofreError `already-exists` when it is something else. */
async function isStored(
  session: SftpSession,
  path: string,
  body: Body,
  { signal, onProgress }: PutOptions,
): Promise<boolean> {
  const found = await session.look(path, signal);
  if (found?.isSymbolicLink() === true) {
    throw new CofreError('access-denied', `${path} is a symbolic link, and none is followed`, {
      hint: 'look who made it; an object is a file of its own',
    });
  }
  if (found?.isFile() === true && found.size === body.sizeBytes) {
    const hash = createHash('sha256');
    let sizeBytes = 0;
    await withFile(session, path, 'r', signal, async (handle) => {
      for await (const block of readBlocks([{ session, handle }], 0, body.sizeBytes, signal)) {
        hash.update(block);
        sizeBytes += block.length;
        onProgress?.(sizeBytes);
      }
    });
    if (sizeBytes === body.sizeBytes && hash.digest('hex') === body.sha256) return true;
  }
  throw new CofreError('already-exists', `${path} exists and is another object`, {
    hint: 'objects are never replaced: look who else writes there',
  });
}
