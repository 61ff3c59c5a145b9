import type pg from 'pg';

const NAMED = 5;

/** Never looked whether its rows keep it: the catalog itself says so, and a dump makes it NOT VALID again. */
const UNVALIDATED = `
  select format('%I of %s', k.conname, coalesce(nullif(k.conrelid, 0)::regclass::text, k.contypid::regtype::text)) as name
  from pg_constraint k where not k.convalidated and k.oid >= 16384 order by 1`;

/** Its triggers are switched off, so whatever was written since may break it; a dump does not say that. */
const SWITCHED_OFF = `
  select distinct format('%I of %s', k.conname, k.conrelid::regclass) as name
  from pg_trigger t join pg_constraint k on k.oid = t.tgconstraint
  where t.tgisinternal and t.tgenabled = 'D' and k.contype = 'f' order by 1`;

/**
 * Warnings about constraints that the rows may break, as far as the catalog tells: looking at the rows would cost as
 * much as a restore. Rows that were written with `session_replication_role` leave no trace.
 */
export async function doubtfulConstraints(client: pg.Client): Promise<string[]> {
  const read = async (sql: string): Promise<string[]> =>
    (await client.query<{ name: string }>(sql)).rows.map(({ name }) => name);
  return [
    ...tell(await read(UNVALIDATED), 'never validated (NOT VALID): rows may break them, and a restore keeps them so'),
    ...tell(
      await read(SWITCHED_OFF),
      'not enforced, because their triggers are disabled: if rows break them, a restore of this backup fails',
    ),
  ];
}

function tell(names: readonly string[], what: string): string[] {
  if (names.length === 0) return [];
  const more = names.length > NAMED ? ` and ${names.length - NAMED} more` : '';
  return [`constraints ${what}: ${names.slice(0, NAMED).join(', ')}${more}`];
}
