/** SQL: whether the backup `b` of a database is closed and has a copy that was read back. */
export const VERIFIED = `b.kind = 'database' AND b.state IN ('complete', 'incomplete')
  AND EXISTS (SELECT FROM cofre.copies c WHERE c.backup_id = b.id AND c.state = 'verified')`;
