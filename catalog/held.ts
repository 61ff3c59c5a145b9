/** SQL: whether the live hold `h` counts: it is not over. */
export const COUNTS = `(h.until IS NULL OR h.until > clock_timestamp())`;

/** SQL: whether the backup `b` is held. */
export const HELD = `EXISTS (SELECT FROM cofre.holds h WHERE h.backup_id = b.id AND h.ended IS NULL AND ${COUNTS})`;
