import { CofreError, messageOf, nativeCode, type ErrorCode } from '../../errors/error.ts';

/** What the kernel's errors mean for a destination; any other may pass by itself (a network file system, a loose disk). */
const CODES: Readonly<Record<string, ErrorCode>> = {
  ENOSPC: 'no-space',
  EDQUOT: 'no-space',
  EFBIG: 'no-space',
  EACCES: 'access-denied',
  EPERM: 'access-denied',
  EROFS: 'access-denied',
  // A symbolic link where none may be.
  ELOOP: 'access-denied',
  ENAMETOOLONG: 'invalid-key',
  // An object where the key wants a folder.
  ENOTDIR: 'invalid-key',
  // A folder where an object is to be replaced.
  EISDIR: 'invalid-key',
};

const IN_THE_WAY: Readonly<Record<string, string>> = {
  ELOOP: 'a symbolic link is in the way, and none is followed: remove it',
  EISDIR: 'a folder is in the way: look who made it, and remove it',
};

const HINTS: Readonly<Partial<Record<ErrorCode, string>>> = {
  'no-space': 'make room there',
  'access-denied': 'the user that runs the worker must own the folder, and its file system must be mounted writable',
  'destination-unavailable': 'look at the file system and the kernel log of this host',
};

/** A failure of the file system as one of Cofre's. Cofre's own errors pass through. */
export function toDirectoryError(cause: unknown, doing: string): CofreError {
  if (cause instanceof CofreError) return cause;
  const native = nativeCode(cause);
  const code = (native === undefined ? undefined : CODES[native]) ?? 'destination-unavailable';
  const hint = IN_THE_WAY[native ?? ''] ?? HINTS[code];
  return new CofreError(code, `${doing}: ${messageOf(cause)}`, { cause, ...(hint === undefined ? {} : { hint }) });
}
