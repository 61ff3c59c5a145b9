import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';

import { nativeCode } from '../errors/error.ts';

/** A port of 127.0.0.1 that nobody listens on now. Another process may take it before you do: ask just before you need it. */
export async function freePort(): Promise<number> {
  return await listenOnce(0);
}

/**
 * The same below 32768, where the kernel takes none by itself: for a server whose port must be free again after it was
 * stopped, and for the Temporal server, which keeps its ports in a `smallint`.
 */
export async function freeLowPort(): Promise<number> {
  for (;;) {
    try {
      return await listenOnce(randomInt(15_000, 32_768));
    } catch (error) {
      if (nativeCode(error) !== 'EADDRINUSE') throw error;
    }
  }
}

async function listenOnce(wanted: number): Promise<number> {
  const server = createServer().listen(wanted, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
