import { posix } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { CofreError } from '../../errors/error.ts';
import { STATUS, SftpStatus, hasStatus } from './errors.ts';
import { removeIfEmpty, unlink } from './files.ts';
import type { SftpSession } from './session.ts';
import { CLAIM_PREFIX } from './temporary.ts';

/** Looking and renaming take two requests; who holds a claim for longer is gone. */
const CLAIM_HOLDS_MS = 2 * 60_000;
const ASK_AGAIN_MS = 100;

/**
 * Gives a whole temporary its final name, and never replaces what has it: 'exists' then. A link does that in one request.
 * Where the server or its file system has none, a rename has to do. Version 3 of the protocol says that it fails where the
 * target exists, and OpenSSH keeps to it; others look first and rename then, or replace: so only one put at a time may do it.
 */
export async function publish(
  session: SftpSession,
  temporary: string,
  path: string,
  signal: AbortSignal | undefined,
): Promise<'published' | 'exists'> {
  if (await link(session, temporary, path, signal)) {
    // With a crash here the object has two names; the next put of it removes this one.
    await unlink(session, temporary, signal);
    return 'published';
  }
  if ((await session.look(path, signal)) !== undefined) return 'exists';
  if ((await session.look(temporary, signal)) === undefined) {
    throw new CofreError('destination-unavailable', `what was sent for ${path} was removed before it was whole`, {
      hint: 'the attempt was given up meanwhile, or somebody cleans up there',
    });
  }
  return await withClaim(session, path, signal, async () => {
    if ((await session.look(path, signal)) !== undefined) return 'exists';
    await session.ask<void>((sftp, done) => sftp.rename(temporary, path, done), signal);
    return 'published';
  });
}

/** Gives a whole temporary the name of an alias, in the place of what has it. The protocol's own rename would refuse. */
export async function replace(
  session: SftpSession,
  temporary: string,
  path: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  await session.ask<void>((sftp, done) => sftp.ext_openssh_rename(temporary, path, done), signal);
}

/** No key and no temporary is called that. */
const NOTHING = '.nothing';

/**
 * Asked before anything is sent: the answer to a rename of nothing tells whether the server has the extension.
 * @throws CofreError `refused`.
 */
export async function requireReplacing(session: SftpSession, name: string): Promise<void> {
  try {
    await session.ask<void>((sftp, done) => {
      try {
        sftp.ext_openssh_rename(NOTHING, NOTHING, done);
      } catch {
        done(Object.assign(new Error('the server has no such extension'), { code: STATUS.unsupported }));
      }
    });
  } catch (cause) {
    if (!(cause instanceof SftpStatus)) throw cause;
    if (cause.status !== STATUS.unsupported) return;
    const message = `the server of ${name} cannot replace a file in one step (posix-rename@openssh.com)`;
    throw new CofreError('refused', message, {
      cause,
      hint: `take ${name} out of copies.alias, or keep it on an OpenSSH server`,
    });
  }
}

/** False where it did not work, for a reason that the server does not tell. */
async function link(session: SftpSession, from: string, to: string, signal: AbortSignal | undefined): Promise<boolean> {
  try {
    await session.ask<void>((sftp, done) => {
      try {
        sftp.ext_openssh_hardlink(from, to, done);
      } catch {
        done(Object.assign(new Error('the server has no links'), { code: STATUS.unsupported }));
      }
    }, signal);
    return true;
  } catch (error) {
    if (error instanceof SftpStatus) return false;
    throw error;
  }
}

/** Lets one put after the other do it: a folder can be made by one only, on every server. */
async function withClaim<T>(
  session: SftpSession,
  path: string,
  signal: AbortSignal | undefined,
  use: () => Promise<T>,
): Promise<T> {
  const claim = posix.join(posix.dirname(path), CLAIM_PREFIX + posix.basename(path));
  for (let since = performance.now(); !(await makeClaim(session, claim, signal)); await sleep(ASK_AGAIN_MS)) {
    if (performance.now() - since < CLAIM_HOLDS_MS) continue;
    await removeIfEmpty(session, claim, signal);
    since = performance.now();
  }
  try {
    return await use();
  } finally {
    await removeIfEmpty(session, claim);
  }
}

/** One that is given back between two questions looks as if no folder could be made: only so often in a row. */
const TRIES = 20;

/** False where another put has it. */
async function makeClaim(session: SftpSession, claim: string, signal: AbortSignal | undefined): Promise<boolean> {
  for (let tries = 1; ; tries += 1) {
    try {
      await session.ask<void>((sftp, done) => sftp.mkdir(claim, done), signal);
      return true;
    } catch (error) {
      if (!hasStatus(error, STATUS.failure)) throw error;
      if ((await session.look(claim, signal)) !== undefined) return false;
      if (tries === TRIES) throw error;
    }
  }
}
