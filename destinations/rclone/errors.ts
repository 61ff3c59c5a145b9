import { existsSync } from 'node:fs';

import { CofreError, type ErrorCode } from '../../errors/error.ts';
import { KILLED_HINT, ToolFailure } from '../../processes/tool.ts';
import { scrub } from './scrub.ts';

/** rclone's exit codes for a folder and for a file that is not there. */
const NOT_FOUND_EXITS: readonly (number | null)[] = [3, 4];
const MOST_SAID_CHARS = 300;

interface Rule {
  readonly says: RegExp;
  readonly code: ErrorCode;
  readonly hint?: string;
}

const CLOCK_HINT = 'the clock of this host is wrong: set it (timedatectl), then run again';
const LOGIN_HINT =
  'renew the login of the remote with `rclone config reconnect`, as the user of the worker; look what its account may do there, and at the clock of this host';

/** What the words of rclone, and of the services behind it, mean: the first that fits. Anything else may pass by itself. */
const RULES: readonly Rule[] = [
  {
    says: /didn't find section in config file/,
    code: 'bad-config',
    hint: 'the remote must be in the rclone configuration of this host: `rclone listremotes` as the user of the worker, or configFile of the destination',
  },
  {
    says: /unable to decrypt configuration|couldn't decrypt configuration|RCLONE_CONFIG_PASS|config.*password/i,
    code: 'access-denied',
    hint: 'the configuration of rclone is encrypted: give its password with configPassword of the destination',
  },
  {
    says: /TooSkewed|RequestExpired|reasonable timeframe|clock skew|request time/i,
    code: 'access-denied',
    hint: CLOCK_HINT,
  },
  {
    says: /downloadQuotaExceeded|transfer quota/i,
    code: 'destination-unavailable',
    hint: 'the service gives no more today; the step is tried again',
  },
  {
    says: /no space left|disk quota|quota ?exceeded|quota has been exceeded|over ?quota|insufficient ?(storage|space)|not enough (free )?(space|storage)|storage ?full|disk full|file too large/i,
    code: 'no-space',
    hint: 'make room there: empty its trash, raise its quota, or give the destination another account',
  },
  {
    says: /stop-on-upload-limit|upload limit|rateLimitExceeded/i,
    code: 'destination-unavailable',
    hint: 'the service takes no more today or so fast; the step is tried again',
  },
  {
    says: /invalid_grant|couldn't fetch token|token.*(expired|revoked|invalid)|oauth2|empty token|unauthorized_client|invalid_client/i,
    code: 'access-denied',
    hint: LOGIN_HINT,
  },
  {
    says: /permission denied|operation not permitted|read-only file ?system|access ?denied|forbidden|unauthorized|insufficient.*(permission|scope)|insufficientFilePermissions|authError|invalid credentials|SignatureDoesNotMatch|InvalidAccessKeyId|unable to authenticate|couldn't login|knownhosts|status ?code: 40[13]/i,
    code: 'access-denied',
    hint: LOGIN_HINT,
  },
  { says: /is a file not a directory|not a directory/i, code: 'invalid-key' },
  { says: /directory not found|object not found|no such file or directory/i, code: 'not-found' },
];

/** A configuration that was just being replaced, which rclone does by two renames when it renews a token. */
export class ConfigReplaced extends CofreError {}

/**
 * A failure of an rclone as one of Cofre's, with what it said as far as that can be no secret. The failure itself is no cause
 * of it: that holds all that rclone said. Everything else passes through: Cofre's own errors, the body's, the signal's.
 */
export async function toRcloneError(failure: unknown, doing: string, configFile: string): Promise<unknown> {
  if (!(failure instanceof ToolFailure)) return failure;
  const { stderr, exitCode, signal } = failure;
  if (signal !== null) {
    return new CofreError('destination-unavailable', `${doing}: rclone was ended by ${signal}`, { hint: KILLED_HINT });
  }
  if (/Config file .* not found/.test(stderr) && existsSync(configFile)) {
    return new ConfigReplaced(
      'destination-unavailable',
      `${doing}: the configuration of rclone was just being replaced`,
    );
  }
  const rule = RULES.find(({ says }) => says.test(stderr));
  const code = rule?.code ?? (NOT_FOUND_EXITS.includes(exitCode) ? 'not-found' : 'destination-unavailable');
  const hint =
    rule?.hint ?? (code === 'destination-unavailable' ? 'look at the service and at the network between' : '');
  const said = await scrub(lastWordsOf(stderr), configFile);
  return new CofreError(
    code,
    `${doing}: ${said ?? `rclone ended with exit code ${exitCode}`}`,
    hint === '' ? {} : { hint },
  );
}

/** The line that says why it ended, without time and level. */
function lastWordsOf(stderr: string): string {
  const lines = stderr
    .split('\n')
    .map((line) => line.replace(/^\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d /, '').trim())
    .filter((line) => line !== '');
  const last = lines.findLast((line) => /^CRITICAL|Failed to /.test(line)) ?? lines.at(-1) ?? 'it said nothing';
  const words = last.replace(/^(CRITICAL|ERROR|NOTICE|INFO)\s*:\s*/, '');
  return words.length > MOST_SAID_CHARS ? `${words.slice(0, MOST_SAID_CHARS)} […]` : words;
}
