import { createDecipheriv } from 'node:crypto';
import { readFile } from 'node:fs/promises';

/** Settings of remotes that are no secrets, and are what a message is about. Every other value is taken for one. */
const PLAIN = new Set(
  'type provider region endpoint url host port user remote scope vendor acl storage_class env_auth root_folder_id team_drive'.split(
    ' ',
  ),
);
/** A shorter value would be found in every second word. */
const SHORTEST = 5;
const HIDDEN = '[…]';
/** `rclone obscure` keeps passwords from being read over a shoulder, no more: its key is in rclone's source. */
const OBSCURED_WITH = Buffer.from('9c935b48730a554d6bfd7c63c886a92bd390198eb8128afbf4de162b8b95f638', 'hex');

/**
 * Takes out of what rclone said whatever may be a secret: the values of its configuration, in the forms in which they
 * appear, and what looks like one. Gives undefined where the configuration cannot be read to compare with (it is
 * encrypted, say): then nothing that rclone said may be passed on.
 */
export async function scrub(text: string, configFile: string): Promise<string | undefined> {
  const config = await readFile(configFile, 'utf8').catch(() => '');
  if (config.includes('RCLONE_ENCRYPT_V')) return undefined;
  let scrubbed = text;
  for (const secret of secretsOf(config)) scrubbed = scrubbed.replaceAll(secret, HIDDEN);
  return (
    scrubbed
      // What stands before the host and behind the path of an address.
      .replace(/\b([a-z][a-z0-9+.-]*:\/\/)[^\s/@"']*@/gi, '$1')
      .replace(/([a-z][a-z0-9+.-]*:\/\/[^\s"'?]*)\?[^\s"']*/gi, `$1?${HIDDEN}`)
      .replace(/\b(bearer|basic)\s+\S+/gi, `$1 ${HIDDEN}`)
      .replace(
        /((?:pass|token|secret|key|sig|credential|auth)\w*"?\s*(?:=|":)\s*)("[^"]*"|[^\s,;&}]+)/gi,
        `$1${HIDDEN}`,
      )
      .replace(/[A-Za-z0-9_+=~%-]{32,}/g, (word) => (/\d/.test(word) && /[A-Za-z]/.test(word) ? HIDDEN : word))
  );
}

/** Every value that may be one, longest first, so that none is left as the rest of another. */
function secretsOf(config: string): string[] {
  const values = config.split('\n').flatMap((line) => {
    const [, key = '', value = ''] = /^\s*([^=[\]#;\s]+)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    return PLAIN.has(key) ? [] : [value, ...leavesOf(value), ...revealed(value)];
  });
  const forms = values
    .filter((value) => value.length >= SHORTEST && !/^(true|false|[0-9.]+[A-Za-z]?)$/.test(value))
    .flatMap((value) => [value, encodeURIComponent(value), Buffer.from(value).toString('base64').replace(/=+$/, '')]);
  return [...new Set(forms)].sort((a, b) => b.length - a.length);
}

/** The texts in a value that is JSON, as tokens are. */
function leavesOf(value: string): string[] {
  if (!value.startsWith('{')) return [];
  try {
    return Object.values(JSON.parse(value) as Record<string, unknown>).filter((leaf) => typeof leaf === 'string');
  } catch {
    return [];
  }
}

function revealed(value: string): string[] {
  if (!/^[A-Za-z0-9_-]{22,}$/.test(value)) return [];
  const bytes = Buffer.from(value, 'base64url');
  const decipher = createDecipheriv('aes-256-ctr', OBSCURED_WITH, bytes.subarray(0, 16));
  return [decipher.update(bytes.subarray(16)).toString('utf8')];
}
