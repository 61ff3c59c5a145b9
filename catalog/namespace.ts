import { CofreError, nativeCode } from '../errors/error.ts';
import { SQLSTATE } from '../postgres/connect.ts';
import type { Queries } from './open.ts';

/** A namespace of a Temporal. The id tells apart those of one name, in another Temporal or in a new one. */
export interface Namespace {
  readonly name: string;
  readonly id: string;
}

/** The one in which the installation's runs are; undefined before the first `cofre apply` of this version. */
export async function recordedNamespace(catalog: Queries): Promise<Namespace | undefined> {
  try {
    const [recorded] = await catalog.query<Namespace>('SELECT name, id FROM cofre.namespace');
    return recorded;
  } catch (error) {
    if (error instanceof CofreError && nativeCode(error.cause) === SQLSTATE.undefinedTable) return undefined;
    throw error;
  }
}

export async function recordNamespace(catalog: Queries, { name, id }: Namespace): Promise<void> {
  await catalog.query(
    `INSERT INTO cofre.namespace (name, id) VALUES ($1, $2)
     ON CONFLICT (only_one) DO UPDATE SET name = excluded.name, id = excluded.id`,
    [name, id],
  );
}
