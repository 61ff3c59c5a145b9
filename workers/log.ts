import { DefaultLogger, type LogEntry, type Logger as TemporalLogger } from '@temporalio/worker';
import pino, { type Logger } from 'pino';

import { CofreError } from '../errors/error.ts';

/** One JSON line an entry on stderr; stdout is for results. Secrets never get here: they are `Secret`s, which do not print. */
export function createLog(level: 'debug' | 'info' | 'warn' | 'error' = 'info'): Logger {
  return pino(
    { name: 'cofre', level, serializers: { error: withoutExtras, err: withoutExtras } },
    pino.destination({ dest: 2, sync: true }),
  );
}

/**
 * What an error says and where it came from. Nothing else that is on it: the fields `detail` and `where` of `pg` quote
 * rows, and whatever a library adds next is not known yet.
 */
function withoutExtras(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { type, message, stack } = pino.stdSerializers.err(error);
  const known = error instanceof CofreError ? { code: error.code, hint: error.hint } : {};
  return { type, message, stack, ...known };
}

const AGAIN_AFTER_MS = 60_000;

/** Temporal's own messages, in the same log; a warning that comes again within a minute is said once: while a server is away there are dozens a second. */
export function temporalLogger(log: Logger): TemporalLogger {
  const said = new Map<string, number>();
  return new DefaultLogger('WARN', ({ level, message, meta }: LogEntry) => {
    const kind = message.replace(/[0-9]+/g, '');
    if (level === 'WARN' && Date.now() - (said.get(kind) ?? 0) < AGAIN_AFTER_MS) return;
    said.set(kind, Date.now());
    const write = level === 'ERROR' ? log.error.bind(log) : level === 'WARN' ? log.warn.bind(log) : log.info.bind(log);
    write(meta ?? {}, message);
  });
}
