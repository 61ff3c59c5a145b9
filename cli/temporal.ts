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
