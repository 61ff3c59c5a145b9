/**
 * Which running server a session is on, whatever address led to it. Copies of a server's disk and its standbys have the
 * same system identifier; the time of its start tells them apart.
 */
export interface Instance {
  readonly systemIdentifier: string;
  readonly startedAt: string;
}

/** Gives one row, an `Instance`. */
export const INSTANCE_QUERY = `
  select system_identifier::text as "systemIdentifier", extract(epoch from pg_postmaster_start_time())::text as "startedAt"
  from pg_control_system()`;

export function isSameInstance(one: Instance, other: Instance): boolean {
  return one.systemIdentifier === other.systemIdentifier && one.startedAt === other.startedAt;
}
