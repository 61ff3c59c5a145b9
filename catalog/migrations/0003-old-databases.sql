-- What becomes of a database that a restore replaced: recorded before the names are swapped, so that it is never forgotten.
ALTER TABLE cofre.restores
  ADD COLUMN old_server text,
  ADD COLUMN old_until timestamptz,
  ADD COLUMN old_fate text CHECK (old_fate IN ('waiting', 'dropped', 'kept')),
  ADD CHECK (old_fate IS NULL OR num_nulls(old_database, old_oid, old_server, old_until) = 0);
