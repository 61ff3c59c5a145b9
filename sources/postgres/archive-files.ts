import type { Tool } from '../../processes/tool.ts';

/** What the two pipelines leave in an attempt's folder. */
export const RAW_FOLDER = 'raw';
export const STAGED_FILE = 'database.tar';
export const STREAMED_FILE = 'database.dump.zst';

/** What the custom-format dump of one file is wrapped in. */
export type Wrapping = 'zstd' | 'gzip' | 'nothing';

/** The name that a dump in one file has as a backup's object: it tells what opens it. */
export const DUMP_FILES: Readonly<Record<Wrapping, string>> = {
  zstd: STREAMED_FILE,
  gzip: 'database.dump.gz',
  nothing: 'database.dump',
};

/** undefined for a name that no such dump has. */
export function wrappingOf(file: string): Wrapping | undefined {
  return (Object.keys(DUMP_FILES) as Wrapping[]).find((wrapping) => DUMP_FILES[wrapping] === file);
}

/** What unwraps it, from its input to its output. */
export const UNWRAP: Readonly<Record<Wrapping, Tool>> = {
  zstd: { name: 'zstd', path: 'zstd', args: ['-d', '-q', '-c'] },
  // Without `-q`, which keeps from it to say that there is something behind the end.
  gzip: { name: 'gzip', path: 'gzip', args: ['-d', '-c'] },
  nothing: { name: 'cat', path: 'cat', args: [] },
};
