/**
 * SQL: whether a dump of the whole database has the relation `c` of the schema `n`. An extension's own tables count only
 * where the extension has their rows dumped.
 */
export const IS_DUMPED = `n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and (c.oid in (select unnest(extconfig) from pg_extension) or not exists (select 1 from pg_depend e
    where e.classid = 'pg_class'::regclass and e.objid = c.oid and e.deptype = 'e'))`;
