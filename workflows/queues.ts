/** Where workflows and the activities that need no host run. */
export const CONTROL_QUEUE = 'control';

/** A host's own queues: stable names, so that a restarted worker finds its files again. */
export function hostQueue(host: string, weight: 'heavy' | 'light'): string {
  return `host.${host}.${weight}`;
}
