/** Today's practice, as the jobs that Cofre replaces do it: files in `$D`, the database from the environment. */
export const DUMP = 'pg_dump -Fc -Z6 --no-owner --no-acl | gzip > "$D/dump.gz"';
export const BACKUP = `${DUMP}; cp "$D/dump.gz" "$D/stored.gz"; rm "$D/dump.gz"`;
/** Into an empty database that is there already. */
export const RESTORE = 'gunzip -c "$D/dump.gz" | pg_restore --no-owner --no-acl -d "$PGDATABASE"';
