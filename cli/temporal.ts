import { Client, Connection } from '@temporalio/client';

import type { TemporalConfig } from '../config/schema.ts';
import { CofreError, messageOf } from '../errors/error.ts';

/** An open connection to Temporal, for one namespace. Whoever opened it closes it. */
export interface Temporal {
  readonly client: Client;
  close(): Promise<void>;
}

/** @throws CofreError `temporal-unavailable` */
export async function connectTemporal({ address, namespace }: TemporalConfig): Promise<Temporal> {
  try {
    const connection = await Connection.connect({ address, connectTimeout: '5s' });
    return { client: new Client({ connection, namespace }), close: () => connection.close() };
  } catch (cause) {
    throw new CofreError('temporal-unavailable', `Temporal at ${address} cannot be reached: ${messageOf(cause)}`, {
      cause,
      hint: 'start it (cofre up on one machine), or correct temporal.address',
    });
  }
}

/** @throws CofreError `temporal-unavailable` when Temporal does not have the client's namespace, or does not say. */
export async function requireNamespace(client: Client): Promise<void> {
  const { namespace } = client.options;
  try {
    await client.workflowService.describeNamespace({ namespace });
  } catch (cause) {
    const details = cause instanceof Error && 'details' in cause ? String(cause.details) : messageOf(cause);
    throw new CofreError('temporal-unavailable', `Temporal does not serve the namespace ${namespace}: ${details}`, {
      cause,
      hint: `temporal operator namespace create --retention 30d -n ${namespace}`,
    });
  }
}
