import { DefaultLogger, type LogEntry, type Logger as TemporalLogger } from '@temporalio/worker';
import pino, { type Logger } from 'pino';

/** One JSON line an entry on stderr; stdout is for results. Secrets never get here: they are `Secret`s, which do not print. */
export function createLog(level: 'debug' | 'info' | 'warn' | 'error' = 'info'): Logger {
  return pino(
    { name: 'cofre', level, serializers: { error: pino.stdSerializers.err } },
    pino.destination({ dest: 2, sync: true }),
  );
}

/** Temporal's own messages, in the same log. */
export function temporalLogger(log: Logger): TemporalLogger {
  return new DefaultLogger('WARN', ({ level, message, meta }: LogEntry) => {
    const write = level === 'ERROR' ? log.error.bind(log) : level === 'WARN' ? log.warn.bind(log) : log.info.bind(log);
    write(meta ?? {}, message);
  });
}
