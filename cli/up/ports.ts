import { once } from 'node:events';
import { connect, createServer } from 'node:net';

const ANSWER_WITHIN_MS = 1_000;

/** Whether an address means this machine alone, where `cofre up` may serve it. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || /^127(\.[0-9]{1,3}){3}$/.test(host);
}

/** Whether somebody listens on a port of 127.0.0.1. */
export async function isServed(port: number): Promise<boolean> {
  const socket = connect({ host: '127.0.0.1', port });
  try {
    await once(socket, 'connect', { signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** The first port from `first` on that nobody listens on. */
export async function nextFreePort(first: number): Promise<number> {
  for (let port = first; ; port += 1) {
    const server = createServer();
    try {
      const listening = once(server, 'listening');
      server.listen(port, '127.0.0.1');
      await listening;
      return port;
    } catch {
      // Taken: the next one.
    } finally {
      server.close();
    }
  }
}
