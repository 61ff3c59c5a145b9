import type { Client } from '@temporalio/client';

import { recordedNamespace, type Namespace } from '../catalog/namespace.ts';
import type { Queries } from '../catalog/open.ts';
import { CofreError, messageOf } from '../errors/error.ts';

/** @throws CofreError `temporal-unavailable` when Temporal does not have the client's namespace, or does not say. */
export async function namespaceOf(client: Client): Promise<Namespace> {
  const { namespace } = client.options;
  try {
    const { namespaceInfo } = await client.workflowService.describeNamespace({ namespace });
    return { name: namespace, id: namespaceInfo?.id ?? '' };
  } catch (cause) {
    const details = cause instanceof Error && 'details' in cause ? String(cause.details) : messageOf(cause);
    throw new CofreError('temporal-unavailable', `Temporal does not serve the namespace ${namespace}: ${details}`, {
      cause,
      hint: `temporal operator namespace create --retention 30d -n ${namespace}`,
    });
  }
}

/**
 * Whoever looks for the installation's runs in another namespace would take those that live for lost.
 * @throws CofreError `refused` in another one than the catalog names.
 */
export async function requireOwnNamespace(catalog: Queries, client: Client): Promise<void> {
  const here = await namespaceOf(client);
  const recorded = await recordedNamespace(catalog);
  if (recorded?.id === here.id) return;
  const own = recorded === undefined ? 'none yet' : namespaceInWords(recorded);
  throw new CofreError(
    'refused',
    `this is the Temporal namespace ${namespaceInWords(here)}, and the installation belongs to ${own}`,
    { hint: 'correct temporal: in cofre.yaml; if that one is lost, or is to be left, cofre apply moves here' },
  );
}

export function namespaceInWords({ name, id }: Namespace): string {
  return `${name} (${id})`;
}
