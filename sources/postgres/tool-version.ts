import { stat } from 'node:fs/promises';
import { delimiter, isAbsolute, join } from 'node:path';

import { CofreError } from '../../errors/error.ts';
import { captureTool } from '../../processes/tool.ts';

/** By the file that was asked: starting a program takes longer than all else that is done for a small database. */
const known = new Map<string, string>();

/**
 * The version that a tool prints about itself, such as `1.5.4`. It is asked once, and again when its file has changed.
 * @throws CofreError `tool-missing`, `tool-version`.
 */
export async function toolVersion(name: string, path: string = name): Promise<string> {
  const file = await identityOf(path);
  const before = file === undefined ? undefined : known.get(file);
  if (before !== undefined) return before;
  const text = await captureTool({ name, path, args: ['--version'] });
  const version = /(?<![\w.])v?(\d+(?:\.\d+)+)/.exec(text)?.[1];
  if (version === undefined) throw new CofreError('tool-version', `${name} does not say its version`);
  if (file !== undefined) known.set(file, version);
  return version;
}

/** Which file a tool is now; undefined where there is none, which whoever starts it will be told. */
async function identityOf(path: string): Promise<string | undefined> {
  const folders = isAbsolute(path) ? [''] : (process.env['PATH'] ?? '').split(delimiter);
  for (const folder of folders) {
    const file = join(folder, path);
    const found = await stat(file, { bigint: true }).catch(() => undefined);
    if (found?.isFile() === true) return `${file} ${found.ino} ${found.size} ${found.mtimeNs} ${found.ctimeNs}`;
  }
  return undefined;
}
