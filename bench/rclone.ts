import { rm } from 'node:fs/promises';
import { join } from 'node:path';

import '../test/rclone.ts'; // finds the rclone of the tests
import type { Bench } from './bench.ts';
import type { Contestant } from './contest.ts';
import { shellContestant, type ObjectFile } from './object.ts';

/** The settings of a remote, as rclone's configuration names them. */
type RemoteSettings = Readonly<Record<string, string>>;

/** The stock client of many services. It compares size and time with what is there, and sends it again for `--ignore-times`. */
export function rclonePut(bench: Bench, remote: RemoteSettings, { path: file }: ObjectFile, path: string): Contestant {
  const commands = 'rclone --config "" copyto --ignore-times "$FILE" "bench:$REMOTE"';
  return shellContestant(bench, 'rclone copyto', commands, { ...environmentOf(remote, path), FILE: file });
}

/** A plain download, to a file that is not there. */
export function rcloneGet(bench: Bench, remote: RemoteSettings, path: string): Contestant {
  const copy = join(bench.folder, 'downloaded');
  const commands = 'rclone --config "" copyto "bench:$REMOTE" "$COPY"';
  const way = shellContestant(bench, 'rclone copyto, to a file', commands, {
    ...environmentOf(remote, path),
    COPY: copy,
  });
  return { ...way, prepare: () => rm(copy, { force: true }) };
}

/** rclone takes a whole remote from its environment. */
function environmentOf(remote: RemoteSettings, path: string): NodeJS.ProcessEnv {
  const settings = Object.entries(remote).map(([key, value]) => [`RCLONE_CONFIG_BENCH_${key.toUpperCase()}`, value]);
  return { ...(Object.fromEntries(settings) as NodeJS.ProcessEnv), REMOTE: path };
}
