import { CofreError, messageOf } from '../errors/error.ts';
import { sqlStateOf, SQLSTATE, type PostgresTarget } from '../postgres/connect.ts';

/** What a person who reads a list needs of a failure. `code` is one of Cofre's, or `cancelled`. */
export interface FailureNote {
  readonly code: string;
  readonly message: string;
  readonly hint?: string | undefined;
}

/**
 * SQLSTATE classes that say nothing against the statement: connection (08), resources (53), the operator or a shutdown
 * (57), a deadlock or conflict with others (40), a lock or the server's own trouble (55, 58).
 */
const TROUBLE = /^(08|40|53|55|57|58)/;

/** A failure of `pg` while it talks to the catalog, as one of Cofre's. Cofre's own errors pass through. */
export function toCatalogError(cause: unknown, target: PostgresTarget): CofreError {
  if (cause instanceof CofreError) return cause;
  const where = `the catalog ${target.database} on ${target.host}:${target.port}`;
  const said = messageOf(cause);
  const state = sqlStateOf(cause);
  if (state === SQLSTATE.insufficientPrivilege) {
    return new CofreError('server-denied', `${target.user} may not do this in ${where}: ${said}`, {
      cause,
      hint: '`cofre apply`, run as the owner of the catalog, grants what the runtime role needs',
    });
  }
  if (state !== undefined && !TROUBLE.test(state) && !isLoginFailure(state)) {
    return new CofreError('unexpected', `${where} refused a statement: ${said}`, { cause });
  }
  return new CofreError('catalog-unavailable', `${where} cannot be used: ${said}`, { cause, hint: hintFor(state) });
}

function isLoginFailure(state: string): boolean {
  return (
    state === SQLSTATE.invalidPassword ||
    state === SQLSTATE.invalidAuthorization ||
    state === SQLSTATE.invalidCatalogName
  );
}

function hintFor(state: string | undefined): string {
  if (state === SQLSTATE.invalidCatalogName) return 'create the database, owned by the role that runs the migrations';
  if (state !== undefined && isLoginFailure(state))
    return 'check user and password in catalog:, and pg_hba.conf on its server';
  return 'check that its server runs and can be reached from this machine';
}
