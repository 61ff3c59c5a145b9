import { CofreError } from '../../errors/error.ts';
import { STATUS, SftpStatus, hasStatus } from './errors.ts';
import type { SftpSession } from './session.ts';

/** What `statvfs@openssh.com` answers, as far as it is needed. */
interface Answer {
  readonly f_frsize: number;
  readonly f_bavail: number;
  readonly f_flag: number;
}

const READ_ONLY_FLAG = 1;

interface FileSystem {
  readonly freeBytes: number;
  readonly readOnly: boolean;
}

/** The file system of a folder; undefined where the server does not tell. */
async function fileSystemOf(
  session: SftpSession,
  folder: string,
  signal?: AbortSignal,
): Promise<FileSystem | undefined> {
  try {
    const found = await session.ask<Answer | undefined>((sftp, done) => {
      try {
        sftp.ext_openssh_statvfs(folder, done);
      } catch {
        done(undefined);
      }
    }, signal);
    if (found === undefined) return undefined;
    return {
      freeBytes: Number(found.f_frsize) * Number(found.f_bavail),
      readOnly: (Number(found.f_flag) & READ_ONLY_FLAG) !== 0,
    };
  } catch (error) {
    if (error instanceof SftpStatus) return undefined;
    throw error;
  }
}

/** Asked before anything is sent: hours later it would be too late to find out. @throws CofreError `no-space`. */
export async function requireRoom(
  session: SftpSession,
  folder: string,
  neededBytes: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const found = await fileSystemOf(session, folder, signal);
  if (found === undefined || found.freeBytes >= neededBytes) return;
  throw new CofreError(
    'no-space',
    `${folder} has room for ${found.freeBytes} bytes and ${neededBytes} are to be stored`,
    {
      hint: 'make room there, or give the destination a larger volume',
    },
  );
}

/** Nothing of use can be stored in less. */
const FULL_BELOW_BYTES = 1024 * 1024;

/**
 * What a refusal means that the protocol calls only "Failure": a full disk, or one that is mounted read-only. Others, and
 * what is no refusal, are given back as they are.
 */
export async function explainFailure(
  session: SftpSession,
  folder: string,
  sizeBytes: number,
  error: unknown,
): Promise<unknown> {
  if (!hasStatus(error, STATUS.failure)) return error;
  const found = await fileSystemOf(session, folder).catch(() => undefined);
  if (found?.readOnly === true) {
    const hint = 'mount it writable on the server, and look there why it was not';
    return new CofreError('access-denied', `the file system of ${folder} is mounted read-only`, { cause: error, hint });
  }
  if (found === undefined || found.freeBytes >= Math.min(sizeBytes, FULL_BELOW_BYTES)) return error;
  const message = `${folder} became full before ${sizeBytes} bytes were stored`;
  return new CofreError('no-space', message, { cause: error, hint: 'make room there' });
}
