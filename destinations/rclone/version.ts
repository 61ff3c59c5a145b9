import { CofreError } from '../../errors/error.ts';
import { captureTool } from '../../processes/tool.ts';

/** The version that this driver was made for and tried with; what rclone does in detail changes from one to the next. */
const OLDEST = [1, 75, 1] as const;
const HOW = `install rclone ${OLDEST.join('.')} or newer on this host (docs/rclone.md); Debian's own package is older`;

/** What was found, by the search path that it was found with: asking takes as long as a small question to a remote. */
const known = new Map<string, Promise<string>>();

/** Gives the version of this host's rclone. @throws CofreError `tool-missing`, `tool-version`. */
export async function requireRclone(): Promise<string> {
  const path = process.env['PATH'] ?? '';
  const asked = known.get(path) ?? ask();
  known.set(path, asked);
  try {
    return await asked;
  } catch (error) {
    // It may be installed, or upgraded, meanwhile.
    known.delete(path);
    throw error;
  }
}

async function ask(): Promise<string> {
  const text = await captureTool({ name: 'rclone', path: 'rclone', args: ['version'] }).catch((cause: unknown) => {
    if (!(cause instanceof CofreError) || cause.code !== 'tool-missing') throw cause;
    throw new CofreError('tool-missing', 'rclone is not installed on this host', { cause, hint: HOW });
  });
  const [, version = ''] = /^rclone v(\d+\.\d+\.\d+)/.exec(text) ?? [];
  if (version !== '' && isNewEnough(version)) return version;
  const what = version === '' ? 'says no version that Cofre knows' : `is ${version}`;
  throw new CofreError(
    'tool-version',
    `rclone on this host ${what}, and ${OLDEST.join('.')} is the oldest that will do`,
    {
      hint: HOW,
    },
  );
}

function isNewEnough(version: string): boolean {
  const parts = version.split('.').map(Number);
  for (const [index, least] of OLDEST.entries()) {
    const part = parts[index] ?? 0;
    if (part !== least) return part > least;
  }
  return true;
}
