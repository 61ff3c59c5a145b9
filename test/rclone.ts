import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';

import type { RcloneConfig } from '../config/destination-schema.ts';
import { MARKER, newMarker } from '../destinations/marker.ts';
import { projectFolder } from '../tools/project-folder.ts';

/** The rclone that `tools/setup tests` has put there is found first. */
const OWN = join(projectFolder, '.tools', 'rclone');
process.env['PATH'] = [OWN, process.env['PATH'] ?? ''].join(delimiter);

export type Remotes = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** An rclone configuration of its own, in a folder of its own. */
export class RcloneRemotes {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async make(remotes: Remotes): Promise<RcloneRemotes> {
    const made = new RcloneRemotes(await mkdtemp(join(tmpdir(), 'cofre-rclone-')));
    await made.write(remotes);
    return made;
  }

  get file(): string {
    return join(this.folder, 'rclone.conf');
  }

  async write(remotes: Remotes): Promise<void> {
    const sections = Object.entries(remotes).map(([name, settings]) =>
      [`[${name}]`, ...Object.entries(settings).map(([key, value]) => `${key} = ${value}`), ''].join('\n'),
    );
    await writeFile(this.file, sections.join('\n'), { mode: 0o600 });
  }

  config(remote: string): RcloneConfig {
    return { type: 'rclone', remote, configFile: this.file };
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** A new, empty folder of this machine that is marked as a destination, without the seven times that rclone takes for it. */
export async function markedFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'cofre-rclone-place-'));
  await writeFile(join(folder, MARKER), newMarker());
  return folder;
}

/** As `rclone obscure` does: passwords stand so in a configuration. */
export function obscured(password: string): string {
  return rclone('obscure', password).trim();
}

export function rclone(...args: string[]): string {
  return execFileSync('rclone', args, { encoding: 'utf8' });
}

/** Runs `use` while every rclone first or last does something of its own, in the words of sh; `code` is its exit code. */
export async function withFault<T>(
  { before = ':', after = ':' }: { before?: string; after?: string },
  use: () => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'cofre-rclone-fault-'));
  const path = process.env['PATH'] ?? '';
  const real = `${join(OWN, 'rclone')} "$@"`;
  const asked = `case "$1" in version) exec ${real};; esac`;
  await writeFile(join(folder, 'rclone'), `#!/bin/sh\n${asked}\n${before}\n${real}\ncode=$?\n${after}\nexit $code\n`, {
    mode: 0o755,
  });
  process.env['PATH'] = [folder, path].join(delimiter);
  try {
    return await use();
  } finally {
    process.env['PATH'] = path;
    await rm(folder, { recursive: true });
  }
}

/** The processes of a name; the children of one, of this unless told, or with `any` all of them. */
export function childrenCalled(name: string, parent: number | 'any' = process.pid): number[] {
  return readdirSync('/proc').flatMap((entry) => {
    if (!/^[0-9]+$/.test(entry)) return [];
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'utf8');
      const [, command, state, ppid] = /\((.*)\) (\S) (\d+)/.exec(stat) ?? [];
      return command === name && state !== 'Z' && (parent === 'any' || Number(ppid) === parent) ? [Number(entry)] : [];
    } catch {
      return [];
    }
  });
}
