import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** A TCP proxy in front of a real server, which injects the faults of a network. */
export class FaultProxy {
  readonly #server: Server;
  readonly #pairs = new Set<{ readonly client: Socket; readonly server: Socket }>();
  #target: { readonly host: string; readonly port: number };
  #refusing = false;
  #stalled = false;
  #cutAfterBytes = Number.POSITIVE_INFINITY;
  #stallAfterBytes = Number.POSITIVE_INFINITY;
  #passedBytes = 0;
  #sentBytes = 0;
  #delayMs = 0;
  #repliesUntilMute = Number.POSITIVE_INFINITY;

  private constructor(target: { host: string; port: number }) {
    this.#target = target;
    this.#server = createServer((client) => {
      if (this.#refusing) return reset(client);
      this.#join(client, connect(this.#target.port, this.#target.host));
    });
  }

  /** Listens on a free port of `listenHost`. */
  static async start(target: { host: string; port: number }, listenHost = '127.0.0.1'): Promise<FaultProxy> {
    const proxy = new FaultProxy(target);
    proxy.#server.listen(0, listenHost);
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Bytes that passed so far, both ways together. */
  get passedBytes(): number {
    return this.#passedBytes;
  }

  /** Of these, what went to the server. */
  get sentBytes(): number {
    return this.#sentBytes;
  }

  /** What passes takes so long from now on, each way. */
  delay(ms: number): void {
    this.#delayMs = ms;
  }

  /** Lets so many more replies of the server through, and then none until `restore`: what is asked is still done. */
  muteAfter(replies: number): void {
    this.#repliesUntilMute = replies;
  }

  /** Resets every connection and, until `restore`, every new one. */
  refuse(): void {
    this.#refusing = true;
    this.cut();
  }

  /** From now on it leads to another server, as a name after a failover. */
  redirect(target: { host: string; port: number }): void {
    this.#target = target;
    this.cut();
  }

  /** Resets the connections that are open now. */
  cut(): void {
    for (const { client, server } of this.#pairs) {
      reset(client);
      reset(server);
    }
  }

  /** Resets all connections once so many more bytes have passed. */
  cutAfter(bytes: number): void {
    this.#cutAfterBytes = this.#passedBytes + bytes;
  }

  /** Nothing passes any more, and nobody is told: as a cable that was pulled. */
  stall(): void {
    this.#stalled = true;
    for (const { client, server } of this.#pairs) {
      client.pause();
      server.pause();
    }
  }

  /** Stalls once so many more bytes have passed. */
  stallAfter(bytes: number): void {
    this.#stallAfterBytes = this.#passedBytes + bytes;
  }

  get stalled(): boolean {
    return this.#stalled;
  }

  /** Everything passes again. */
  restore(): void {
    this.#refusing = false;
    this.#stalled = false;
    this.#repliesUntilMute = Number.POSITIVE_INFINITY;
    for (const { client, server } of this.#pairs) {
      client.resume();
      server.resume();
    }
  }

  async stop(): Promise<void> {
    this.refuse();
    const closed = once(this.#server, 'close');
    this.#server.close();
    await closed;
  }

  #join(client: Socket, server: Socket): void {
    const pair = { client, server };
    this.#pairs.add(pair);
    client.on('data', (chunk: Buffer) => (this.#sentBytes += chunk.length));
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      from.setNoDelay(true);
      from.on('data', (chunk: Buffer) => {
        if (from === server && this.#isMuted()) return;
        this.#later(() => this.#pass(chunk, from, to));
      });
      from.on('end', () => this.#later(() => to.end()));
      from.on('error', () => to.destroy());
      from.on('close', (broken: boolean) => {
        this.#pairs.delete(pair);
        // What one said before it went still reaches the other.
        if (broken) to.destroy();
        else this.#later(() => to.destroySoon());
      });
    }
    if (this.#stalled) this.stall();
  }

  /** In the order of the calls, because the delay is the same for all. */
  #later(act: () => void): void {
    if (this.#delayMs === 0) act();
    else setTimeout(act, this.#delayMs);
  }

  #isMuted(): boolean {
    this.#repliesUntilMute -= 1;
    return this.#repliesUntilMute < 0;
  }

  #pass(chunk: Buffer, from: Socket, to: Socket): void {
    this.#passedBytes += chunk.length;
    if (this.#passedBytes >= this.#cutAfterBytes) {
      this.#cutAfterBytes = Number.POSITIVE_INFINITY;
      return this.cut();
    }
    if (this.#passedBytes >= this.#stallAfterBytes) {
      this.#stallAfterBytes = Number.POSITIVE_INFINITY;
      this.stall();
    }
    if (to.destroyed || to.write(chunk)) return;
    from.pause();
    to.once('drain', () => {
      if (!this.#stalled) from.resume();
    });
  }
}

/**
 * A connection that is being ended is only closed: libuv refuses to reset it, and Node 20 then neither closes it nor comes to its own
 * end, for ever (`reset EINVAL`).
 */
function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}
