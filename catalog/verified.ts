/** SQL: whether the backup `b` of a database is closed and has a copy that was read back. */
export const VERIFIED = `b.kind = 'database' AND b.state IN ('complete', 'incomplete')
  AND EXISTS (SELECT FROM cofre.copies c WHERE c.backup_id = b.id AND c.state = 'verified')`;

/** SQL: whether the backup `b` has a verified copy in one of these destinations: a parameter that is an array, as `$2`. */
export function verifiedIn(destinations: string): string {
  return `EXISTS (SELECT FROM cofre.copies i WHERE i.backup_id = b.id AND i.destination = ANY(${destinations}::text[]) AND i.state = 'verified')`;
}
