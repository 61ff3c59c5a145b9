import { CofreError, messageOf } from '../errors/error.ts';
import { EXIT, exitCodeOfError } from './exit.ts';
import { Interrupted, printJson, tell } from './print.ts';

/** Prints why a command failed, in words for people and with --json for scripts, and gives the exit code. */
export function reportFailure(thrown: unknown, options: { json: boolean }): number {
  if (thrown instanceof Interrupted) {
    tell(`\ncofre: ${thrown.message}`);
    return EXIT.interrupted;
  }
  const error = asCofreError(thrown);
  printReason(error);
  if (options.json) {
    const { code, message, hint } = error;
    printJson({ error: { code, message, ...(hint === undefined ? {} : { hint }) } });
  }
  if (process.env['COFRE_DEBUG'] === '1' && thrown instanceof Error) tell(thrown.stack ?? '');
  return exitCodeOfError(error);
}

/** The two lines that every failure has: what happened, and what to do next. */
export function printReason({ message, hint }: { message: string; hint?: string | undefined }): void {
  tell(`cofre: ${message}`);
  if (hint !== undefined && hint !== '') tell(`  → ${hint}`);
}

/** Errors of Temporal's client are told by name: loading its classes would cost every command their time. */
function asCofreError(thrown: unknown): CofreError {
  if (thrown instanceof CofreError) return thrown;
  const message = messageOf(thrown);
  const cause = thrown instanceof Error ? thrown : undefined;
  if (cause?.name === 'WorkflowNotFoundError') {
    return new CofreError('not-known', 'Temporal has no such run', { cause, hint: '`cofre runs --all` lists them' });
  }
  if (cause?.name !== 'ServiceError')
    return new CofreError('unexpected', message, { cause: thrown, hint: 'COFRE_DEBUG=1 shows more' });
  const details = cause.cause instanceof Error ? cause.cause.message : message;
  if (/search attribute|Cofre[A-Z]\w+ is not a valid/i.test(details)) {
    return new CofreError('bad-config', `Temporal does not know Cofre's search attributes yet: ${details}`, {
      cause,
      hint: 'cofre apply registers them',
    });
  }
  if (/namespace .*not found/i.test(details)) {
    return new CofreError('bad-config', details, {
      cause,
      hint: 'create the namespace, or correct temporal.namespace',
    });
  }
  return new CofreError('temporal-unavailable', `Temporal did not answer: ${details}`, {
    cause,
    hint: 'check that it runs (cofre up on one machine), or correct temporal.address',
  });
}
