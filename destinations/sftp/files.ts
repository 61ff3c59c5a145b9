import type { FileEntryWithStats, Stats } from 'ssh2';

import { STATUS, hasStatus, ignoreStatus } from './errors.ts';
import { orAborted, type SftpSession } from './session.ts';

/** As a directory destination has them: the group may look, others may not. */
export const FILE_MODE = 0o640;
export const FOLDER_MODE = 0o750;

/** Lends an open file and always closes it. */
export async function withFile<T>(
  session: SftpSession,
  path: string,
  flags: 'r' | 'r+' | 'wx',
  signal: AbortSignal | undefined,
  use: (handle: Buffer) => Promise<T>,
): Promise<T> {
  const handle = await openFile(session, path, flags, signal);
  try {
    return await use(handle);
  } finally {
    closeLater(session, handle);
  }
}

export async function openFile(
  session: SftpSession,
  path: string,
  flags: 'r' | 'r+' | 'wx',
  signal?: AbortSignal,
): Promise<Buffer> {
  const opening = session.ask<Buffer>((sftp, done) => sftp.open(path, flags, { mode: FILE_MODE }, done));
  return await orAborted(opening, signal).catch((error: unknown) => {
    // It may be opened after nobody waits for it any more.
    if (signal?.aborted === true) void opening.then((handle) => closeLater(session, handle)).catch(() => undefined);
    throw error;
  });
}

/** An open file, whatever stands at its path by now. */
export async function describe(session: SftpSession, handle: Buffer, signal?: AbortSignal): Promise<Stats> {
  return await session.ask<Stats>((sftp, done) => sftp.fstat(handle, done), signal);
}

/** Closes a file without waiting for it: nothing depends on it, and it may come after the connection is lost. */
export function closeLater(session: SftpSession, handle: Buffer): void {
  if (!session.lost.aborted)
    session.send<void>(
      (sftp, done) => sftp.close(handle, done),
      () => undefined,
    );
}

/** The entries of a folder, as the server gives them, page by page. Nothing where there is no such folder. */
export async function* entriesOf(
  session: SftpSession,
  folder: string,
  signal?: AbortSignal,
): AsyncGenerator<FileEntryWithStats> {
  const handle = await session
    .ask<Buffer>((sftp, done) => sftp.opendir(folder, done), signal)
    .catch(ignoreStatus(STATUS.noSuchFile));
  if (handle === undefined) return;
  try {
    for (;;) {
      const page = await session
        .ask<FileEntryWithStats[]>((sftp, done) => sftp.readdir(handle, done), signal)
        .catch(ignoreStatus(STATUS.endOfFile));
      if (page === undefined) return;
      for (const entry of page) if (entry.filename !== '.' && entry.filename !== '..') yield entry;
    }
  } finally {
    closeLater(session, handle);
  }
}

export async function namesIn(session: SftpSession, folder: string, signal?: AbortSignal): Promise<string[]> {
  const names: string[] = [];
  for await (const { filename } of entriesOf(session, folder, signal)) names.push(filename);
  return names;
}

/** Makes a folder. One that is there, even since this moment, is as good. Gives what stands there then. */
export async function makeFolder(session: SftpSession, path: string, signal?: AbortSignal): Promise<Stats | undefined> {
  try {
    await session.ask<void>((sftp, done) => sftp.mkdir(path, { mode: FOLDER_MODE }, done), signal);
    return undefined;
  } catch (error) {
    // The protocol has no word for "it is there already".
    const found = hasStatus(error, STATUS.failure) ? await session.look(path, signal) : undefined;
    if (found === undefined) throw error;
    return found;
  }
}

export async function unlink(session: SftpSession, path: string, signal?: AbortSignal): Promise<void> {
  await session.ask<void>((sftp, done) => sftp.unlink(path, done), signal).catch(ignoreStatus(STATUS.noSuchFile));
}

/** Removes a folder if it is empty, and says whether it is gone. */
export async function removeIfEmpty(session: SftpSession, path: string, signal?: AbortSignal): Promise<boolean> {
  try {
    await session.ask<void>((sftp, done) => sftp.rmdir(path, done), signal);
    return true;
  } catch (error) {
    if (hasStatus(error, STATUS.noSuchFile)) return true;
    // Not empty, or not for us to remove: an empty folder does no harm.
    if (hasStatus(error, STATUS.failure, STATUS.permissionDenied, STATUS.unsupported)) return false;
    throw error;
  }
}

/** A put that is just beginning there may put in one more. */
const TRIES = 5;

/** Removes a folder with all that is in it, following no link. */
export async function removeTree(session: SftpSession, folder: string, signal?: AbortSignal): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    for await (const { filename } of entriesOf(session, folder, signal)) {
      const path = `${folder}/${filename}`;
      const found = await session.look(path, signal);
      if (found?.isDirectory() === true) await removeTree(session, path, signal);
      else await unlink(session, path, signal);
    }
    try {
      await session.ask<void>((sftp, done) => sftp.rmdir(folder, done), signal).catch(ignoreStatus(STATUS.noSuchFile));
      return;
    } catch (error) {
      if (tries === TRIES || !hasStatus(error, STATUS.failure)) throw error;
    }
  }
}
