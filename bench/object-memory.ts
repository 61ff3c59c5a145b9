import { execFile } from 'node:child_process';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import type { DestinationConfig } from '../config/destination-schema.ts';
import { prepareDirectory } from '../destinations/directory/marker.ts';
import { gcsPlace } from '../destinations/gcs/place.ts';
import { rclonePlace } from '../destinations/rclone/place.ts';
import { sftpPlace } from '../destinations/sftp/place.ts';
import { GcsServer } from '../test/gcs-server.ts';
import { RcloneRemotes } from '../test/rclone.ts';
import { S3Server } from '../test/s3-server.ts';
import { SshServer } from '../test/ssh-server.ts';
import type { Bench } from './bench.ts';
import type { Measured, Result } from './contest.ts';
import { makeObject } from './object.ts';
import { s3Config } from './s3.ts';

const run = promisify(execFile);
const SIZE_BYTES = 4_000_000_000;
/** fake-gcs-server copies all that it has for each part that comes: 4 GB would take it half an hour. */
const GCS_SIZE_BYTES = 1_000_000_000;

/** A place of one kind, prepared, and how to take it down. */
interface Prepared {
  readonly config: DestinationConfig;
  readonly remove: () => Promise<void>;
}

const PLACES: Readonly<Record<DestinationConfig['type'], (folder: string) => Promise<Prepared>>> = {
  directory: async (folder) => {
    await prepareDirectory(folder);
    return { config: { type: 'directory', path: folder }, remove: () => Promise.resolve() };
  },
  s3: async (folder) => {
    const server = await S3Server.start(folder);
    return { config: await s3Config(server), remove: () => server.stop() };
  },
  gcs: async (folder) => {
    const server = await GcsServer.start('fake', folder);
    const config = await server.bucket();
    await gcsPlace(config).prepare();
    return { config, remove: () => server.stop() };
  },
  sftp: async (folder) => {
    const server = await SshServer.start();
    const config = server.config(folder);
    await sftpPlace(config).prepare();
    return { config, remove: () => server.remove() };
  },
  rclone: async (folder) => {
    const remotes = await RcloneRemotes.make({ disk: { type: 'local' } });
    const config = remotes.config(`disk:${folder}`);
    await rclonePlace(config).prepare();
    return { config, remove: () => remotes.remove() };
  },
};

/** The memory of a process that puts a large object and reads it back, which must not grow with the object: a new one for each kind of place. */
export async function objectMemory(bench: Bench): Promise<Result[]> {
  const large = await makeObject(bench, 'large-object', SIZE_BYTES);
  const smaller = await makeObject(bench, 'smaller-object', GCS_SIZE_BYTES);
  const results: Result[] = [];
  for (const [type, prepare] of Object.entries(PLACES)) {
    const file = type === 'gcs' ? smaller : large;
    const folder = join(bench.folder, `large-${type}`);
    await mkdir(folder);
    const { config, remove } = await prepare(folder);
    try {
      const { stdout } = await run(process.execPath, [
        ...['--enable-source-maps', program, JSON.stringify(config)],
        ...[file.path, String(file.sizeBytes), file.sha256, join(bench.folder, 'uploads')],
      ]);
      const rows = JSON.parse(stdout) as Record<string, Measured>;
      const ways = Object.entries(rows).map(([name, measured]) => ({ name, rounds: [measured] }));
      results.push({
        name: `object memory: ${type}`,
        what: `Peaks, an object of ${file.sizeBytes / 1e9} GB: ${type}`,
        ways,
      });
    } finally {
      await remove();
      await rm(folder, { recursive: true });
    }
  }
  return results;
}

const program = fileURLToPath(new URL('./one-object.js', import.meta.url));
