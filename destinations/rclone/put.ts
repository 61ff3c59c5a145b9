import { createHash } from 'node:crypto';
import { posix } from 'node:path';
import type { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

import { CofreError } from '../../errors/error.ts';
import { badContent } from '../body-reader.ts';
import type { Body, CallOptions, PutOptions } from '../destination.ts';
import { entriesIn, type Entry } from './entries.ts';
import { oneAtATime } from './one-at-a-time.ts';
import { readObject } from './read.ts';
import type { RcloneRemote } from './remote.ts';
import { isAbandoned, temporaryName } from './temporary.ts';

/** Manifests, markers and what is as small are read back once they have their names. */
const READ_BACK_BYTES = 1024 * 1024;
/** A service may show a new object a little late; afterwards it is taken as lost. */
const SHOWN_WITHIN_MS = 10_000;
const LOOK_AGAIN_MS = 250;
/** What a failed put has sent is taken away within this time, or by a later one. */
const TIDIED_WITHIN_MS = 15_000;

/**
 * Stores `body` under `key`: sends it under a temporary name, gives it its own where none is, and looks what is there then.
 * rclone has no condition for that. Within this process one put of a name comes after the other; two hosts that publish
 * the same name in the same moment can both find none, and the later one replaces, or stands beside, the other's. So what
 * must not meet has keys of its own (the folder of an attempt), and what is small is read back: of two writers of different
 * manifests at most the last is told that it has stored its own.
 */
export async function storeObject(remote: RcloneRemote, key: string, body: Body, options: PutOptions): Promise<void> {
  await oneAtATime(`${remote.configFile} ${remote.nameOf(key)}`, async () => {
    const { signal } = options;
    const { objects, others } = await look(remote, key, signal);
    if (objects.length > 0) await requireSame(remote, key, objects, body, options);
    // What a worker that was killed has left: nobody goes on with it, because no remote takes the rest of an object.
    for (const left of others.filter(isAbandoned)) await removeFile(remote, left, signal);
    if (objects.length > 0) return;
    const temporary = posix.join(posix.dirname(key), temporaryName());
    try {
      await send(remote, key, temporary, body, options);
      await giveName(remote, key, temporary, body, options);
    } catch (error) {
      // If even that fails, a later put or the night's routine removes it; the first failure is the one to tell.
      await removeFile(remote, temporary, AbortSignal.timeout(TIDIED_WITHIN_MS)).catch(() => undefined);
      throw error;
    }
  });
}

/** Removes one file. Removing a missing one succeeds. */
export async function removeFile(
  remote: RcloneRemote,
  key: string,
  signal: AbortSignal | undefined,
): Promise<'removed' | 'missing'> {
  try {
    await remote.ask(`to remove ${key}`, ['deletefile', remote.nameOf(key)], signal);
    return 'removed';
  } catch (error) {
    if (error instanceof CofreError && (error.code === 'not-found' || error.code === 'invalid-key')) return 'missing';
    throw error;
  }
}

/** What has the name of a key, mostly none or one, and the keys of what else lies in its folder. */
export async function look(
  remote: RcloneRemote,
  key: string,
  signal: AbortSignal | undefined,
  ...more: string[]
): Promise<{ objects: Entry[]; others: string[] }> {
  const folder = key.includes('/') ? posix.dirname(key) : '';
  const files = ((await entriesIn(remote, folder, signal, ...more)) ?? []).filter(({ isFolder }) => !isFolder);
  const isIt = ({ path }: Entry): boolean => path === posix.basename(key);
  const others = files.filter((entry) => !isIt(entry)).map(({ path }) => posix.join(folder, path));
  return { objects: files.filter(isIt), others };
}

/** Through one pipe, with the size told beforehand: then rclone neither keeps it nor takes a short one for whole. */
async function send(
  remote: RcloneRemote,
  key: string,
  temporary: string,
  body: Body,
  { signal, onProgress, pace }: PutOptions,
): Promise<void> {
  const args = ['rcat', '--size', String(body.sizeBytes), remote.nameOf(temporary)];
  const rclone = await remote.start(args, { stdin: 'pipe' }, signal);
  const { stdin } = rclone;
  // It ended, and `done` says why.
  stdin.on('error', () => undefined);
  const stream = body.open();
  let failure: unknown;
  rclone.done.catch((error: unknown) => {
    failure = error;
    stream.destroy(error as Error);
  });
  const hash = createHash('sha256');
  let sentBytes = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      sentBytes += chunk.length;
      if (sentBytes > body.sizeBytes) throw badContent(body);
      hash.update(chunk);
      await pace?.(chunk.length);
      if (!stdin.write(chunk)) await drained(stdin);
      onProgress?.(sentBytes);
    }
    if (sentBytes !== body.sizeBytes || hash.digest('hex') !== body.sha256) throw badContent(body);
    stdin.end();
    await rclone.done;
  } catch (error) {
    // Before its input ends: it would take what there is for all.
    rclone.kill();
    await rclone.done.catch(() => undefined);
    signal?.throwIfAborted();
    if (error !== failure) throw error;
    throw await explained(remote, body.sizeBytes, notThere(key, await remote.failure(error, `to store ${key}`)));
  } finally {
    stream.destroy();
  }
}

/** Waits until there is room for more, or nobody reads any more. */
async function drained(stdin: Writable): Promise<void> {
  if (stdin.destroyed) return;
  await new Promise<void>((resolve) => {
    const go = (): void => {
      stdin.off('drain', go);
      stdin.off('close', go);
      resolve();
    };
    stdin.on('drain', go);
    stdin.on('close', go);
  });
}

async function giveName(
  remote: RcloneRemote,
  key: string,
  temporary: string,
  body: Body,
  options: PutOptions,
): Promise<void> {
  const { signal } = options;
  // A small one is read back under its name.
  if (body.sizeBytes > READ_BACK_BYTES) await requireWhole(remote, temporary, body, signal);
  const move = ['moveto', '--ignore-existing', remote.nameOf(temporary), remote.nameOf(key)];
  const failed = await remote.ask(`to give ${key} its name`, move, signal).then(
    () => undefined,
    (error: unknown) => error,
  );
  signal?.throwIfAborted();
  const deadline = Date.now() + (failed === undefined ? SHOWN_WITHIN_MS : 0);
  for (;;) {
    const { objects, others } = await look(remote, key, signal).catch((error: unknown) => {
      throw failed ?? error;
    });
    if (objects.length > 0) {
      const isOurs = objects.length === 1 && objects[0]?.sizeBytes === body.sizeBytes && !others.includes(temporary);
      if (!isOurs || body.sizeBytes <= READ_BACK_BYTES) await requireSame(remote, key, objects, body, options);
      if (others.includes(temporary)) await removeFile(remote, temporary, signal);
      return;
    }
    // The reply may have been lost; what is there decides.
    if (failed !== undefined) throw notThere(key, failed);
    if (Date.now() > deadline) {
      throw new CofreError(
        'destination-unavailable',
        `${remote.url} said that it had stored ${key}, and there is none`,
        {
          hint: 'no copy is counted; look whether somebody cleans up there, or whether it has two folders of one name (docs/rclone.md)',
        },
      );
    }
    await sleep(LOOK_AGAIN_MS, undefined, signal === undefined ? {} : { signal }).catch(() => signal?.throwIfAborted());
  }
}

/** A service that takes all and keeps less is found out before anybody sees it. */
async function requireWhole(
  remote: RcloneRemote,
  temporary: string,
  body: Body,
  signal: AbortSignal | undefined,
): Promise<void> {
  const [found] = (await look(remote, temporary, signal)).objects;
  if (found === undefined || found.sizeBytes === body.sizeBytes) return;
  const what = `${remote.url} kept ${found.sizeBytes} of ${body.sizeBytes} bytes and said that it had stored all`;
  throw new CofreError('destination-unavailable', what, { hint: 'no copy is counted; ask whoever runs that service' });
}

/** Compares what is stored with `body`, by reading it. @throws CofreError `already-exists` when it is something else. */
async function requireSame(
  remote: RcloneRemote,
  key: string,
  objects: readonly Entry[],
  body: Body,
  { signal }: CallOptions,
): Promise<void> {
  await requireOne(remote, key, objects, signal);
  if (objects.every(({ sizeBytes }) => sizeBytes === body.sizeBytes)) {
    const hash = createHash('sha256');
    for await (const chunk of readObject(remote, key, { start: 0, length: body.sizeBytes }, signal)) hash.update(chunk);
    if (hash.digest('hex') === body.sha256) return;
  }
  throw new CofreError('already-exists', `${key} exists in ${remote.url} and is another object`, {
    hint: 'objects are never replaced: look who else writes there',
  });
}

/**
 * Drive and Mega hold several files of one name. Where they are the same, one is as good as another; where not, nobody can
 * say which is meant. @throws CofreError `already-exists`.
 */
export async function requireOne(
  remote: RcloneRemote,
  key: string,
  objects: readonly Entry[],
  signal: AbortSignal | undefined,
): Promise<void> {
  if (objects.length < 2) return;
  const again = (await look(remote, key, signal, '--hash')).objects;
  const contents = new Set(again.map(({ sizeBytes, hashes }) => JSON.stringify([sizeBytes, hashes])));
  const areKnown = again.every(({ hashes }) => Object.values(hashes).some((hash) => hash !== ''));
  if (again.length < 2 || (areKnown && contents.size === 1)) return;
  const what = `${remote.url} has ${again.length} files named ${key}, and they are not known to be the same`;
  throw new CofreError('already-exists', what, {
    hint: 'look which of them is right and remove the others there (`rclone lsf --format psi` shows their ids)',
  });
}

/** Not every service says that it is full, but many tell how much room there is. */
async function explained(remote: RcloneRemote, sizeBytes: number, error: unknown): Promise<unknown> {
  if (!(error instanceof CofreError) || error.code !== 'destination-unavailable') return error;
  const signal = AbortSignal.timeout(TIDIED_WITHIN_MS);
  const answer = await remote.ask('to say its room', ['about', '--json', remote.nameOf('')], signal).catch(() => '{}');
  const { free } = JSON.parse(answer) as { free?: number };
  if (free === undefined || free >= sizeBytes) return error;
  return new CofreError('no-space', `${remote.url} has room for ${free} bytes and ${sizeBytes} are to be stored`, {
    cause: error,
    hint: 'make room there: empty its trash, raise its quota, or give the destination another account',
  });
}

/** A temporary that is gone is not the object that was asked for. */
function notThere(key: string, error: unknown): unknown {
  if (!(error instanceof CofreError) || error.code !== 'not-found') return error;
  return new CofreError('destination-unavailable', `what was sent for ${key} was removed before it was whole`, {
    cause: error,
    hint: 'the attempt was given up meanwhile, or somebody cleans up there',
  });
}
