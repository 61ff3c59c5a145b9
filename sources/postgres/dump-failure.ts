import { CofreError } from '../../errors/error.ts';
import { KILLED_HINT, ToolFailure } from '../../processes/tool.ts';
import type { PostgresTarget } from '../../postgres/connect.ts';

/**
 * What pg_dump's stderr means. Servers speak the language of their `lc_messages`, so what can be told by pg_dump's own
 * English words is told by them: that only a LOCK TABLE waits for a lock. The rest is known in English and Portuguese.
 */
export function toDumpError(error: unknown, target: PostgresTarget): unknown {
  if (!(error instanceof ToolFailure)) return error;
  const where = `${target.database} on ${target.host}:${target.port}`;
  const said = error.message;
  const says = (pattern: RegExp): boolean => pattern.test(error.stderr);

  if (says(/No space left on device|Disk quota exceeded/)) {
    return new CofreError('no-space', `the spool is full: ${said}`, {
      cause: error,
      hint: 'make room in the spool, then start the backup again',
    });
  }
  if (says(/permission denied|permissão negada|row-level security|segurança em nível de registro/)) {
    return new CofreError('server-denied', `${target.user} may not read all of ${where}: ${said}`, {
      cause: error,
      hint: '`cofre doctor` names what is missing and the SQL that mends it',
    });
  }
  if (says(/database ".*" does not exist/))
    return new CofreError('database-missing', `there is no database ${where}`, { cause: error });
  if (says(/password authentication failed|no pg_hba\.conf entry/)) {
    return new CofreError('server-denied', `the server refused the login ${target.user}: ${said}`, { cause: error });
  }
  // Before lost connections: the standby cancels the statement or ends the session, whichever holds its replay up.
  if (says(/conflict with recovery|conflito com (a )?recuperação/)) {
    return new CofreError(
      'server-unavailable',
      `the standby ${where} cancelled the dump, which held up its replication: ${said}`,
      {
        cause: error,
        hint: 'on the standby: hot_standby_feedback = on, or a longer max_standby_streaming_delay; or back up the primary',
      },
    );
  }
  // Before the locks: a connection can break while it waits for one.
  if (
    says(
      /connection to server|server closed the connection|terminating connection|could not connect|SSL SYSCALL|the database system is/,
    )
  ) {
    return new CofreError('server-unavailable', `the connection to ${where} broke: ${said}`, { cause: error });
  }
  if (says(/could not obtain lock|lock timeout|Query was: LOCK TABLE/)) {
    return new CofreError('database-locked', `a table of ${where} stayed locked: ${said}`, {
      cause: error,
      hint: 'something changes the schema or holds its locks; pg_stat_activity on the server shows what',
    });
  }
  // Without a word of its own before it: one of pg_dump's own processes was killed.
  if (says(/a worker process died unexpectedly/)) {
    return new CofreError('killed', `a process of pg_dump was killed: ${said}`, { cause: error, hint: KILLED_HINT });
  }
  return error;
}
