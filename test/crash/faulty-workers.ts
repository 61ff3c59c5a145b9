import type { ChildProcess } from 'node:child_process';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import type { Installation } from '../acceptance/installation.ts';
import { until } from '../until.ts';
import type { Call, Order, Position, Report, StepRecord } from './protocol.ts';

const FAULTS = new URL('faults.js', import.meta.url).href;

/** Of what the workers say. */
const OUTPUT_KEPT_CHARS = 5_000;

/** Where a step stands still, and the host of its worker. */
export interface Held {
  readonly host: string;
  readonly at: string;
}

/**
 * Starts an installation's workers with faults injected, and tells them where to stand still. What an environment is to
 * be held at counts for the workers that run, and for one that starts later.
 */
export class FaultyWorkers {
  /** Environments that stand still. */
  readonly held = new Map<string, Held>();
  /** What the steps of each environment did. */
  readonly steps = new Map<string, (StepRecord & { readonly host: string })[]>();
  /** Why a worker ended by itself, if one did: none ever may. */
  failed: string | undefined;
  #output = '';
  readonly #installation: Installation;
  readonly #bundle: string;
  readonly #server: Server;
  readonly #socketPath: string;
  readonly #sockets = new Map<Socket, string>();
  readonly #holding = new Map<string, () => void>();
  /** What has last been heard of an environment's steps, and when. */
  readonly #heard = new Map<string, { readonly at: number; readonly what: string }>();
  /** What the run of an environment has called since it was to be held, by host and environment. */
  readonly #begun = new Map<string, Call[]>();
  /** How many steps are under way, by host and environment. */
  readonly #underWay = new Map<string, number>();
  readonly #orders = new Map<string, { readonly host: string; readonly position: Position }>();

  /** `bundle`: the workflows with shorter time limits. */
  constructor(installation: Installation, bundle: string) {
    this.#installation = installation;
    this.#bundle = bundle;
    this.#socketPath = join(installation.folder, 'faults.sock');
    this.#server = createServer((socket) => this.#join(socket)).listen(this.#socketPath);
  }

  /** Starts the worker of a host. `within`: the beginning of its command line, such as that of a network namespace. */
  async start(
    environment: Record<string, string> = {},
    { host = 'h1', within = [] }: { host?: string; within?: readonly string[] } = {},
  ): Promise<ChildProcess> {
    const variables = {
      NODE_OPTIONS: `--import=${FAULTS}`,
      COFRE_TEST_FAULTS: this.#socketPath,
      COFRE_TEST_HOST: host,
      COFRE_TEST_BUNDLE: this.#bundle,
      ...environment,
    };
    const worker = await this.#installation.startWorker(variables, (text) => this.#keep(text), host, within);
    worker.once('exit', (code, signal) => {
      // 0: a test told it to stop.
      if (signal !== 'SIGKILL' && code !== 0)
        this.failed = `the worker of ${host} ended with ${code ?? signal}: ${this.#output}`;
    });
    return worker;
  }

  /** Calls are counted from now on. Settles when the worker of `host` knows it. */
  async hold(environment: string, position: Position, host = 'h1'): Promise<void> {
    this.held.delete(environment);
    this.#orders.set(environment, { host, position });
    this.#begun.delete(`${host} ${environment}`);
    this.#send({ type: 'hold', environment, position, begun: [] }, host);
    let known = false;
    this.#holding.set(environment, () => (known = true));
    await until(`the worker of ${host} knows where ${environment} is to be held`, () => {
      if (this.failed !== undefined) throw new Error(this.failed);
      return known;
    });
  }

  /** Lets it go on, to `next`. */
  release(environment: string, next?: Position, host = 'h1'): void {
    this.held.delete(environment);
    if (next === undefined) this.#orders.delete(environment);
    else this.#orders.set(environment, { host, position: next });
    this.#send({ type: 'release', environment, ...(next === undefined ? {} : { next }) }, host);
  }

  /** What `environment` was to be held at does not count for a worker that starts later. */
  forget(environment: string): void {
    this.#orders.delete(environment);
  }

  /** Whether a step for this environment is under way and has done nothing since `at`: it waits for another one. */
  blockedSince(environment: string, at: number): boolean {
    if (!this.busy(environment, 'h1') && !this.busy(environment, 'h2')) return false;
    return (this.#heard.get(environment)?.at ?? 0) < at;
  }

  /** What this environment's steps did last, for people. */
  lastOf(environment: string): string {
    const { at, what } = this.#heard.get(environment) ?? { at: 0, what: 'nothing' };
    return `${what}, ${Math.round((performance.now() - at) / 1000)} s ago`;
  }

  /** Whether a worker of `host` is there, or was and may still have something to say. */
  isThere(host: string): boolean {
    return [...this.#sockets.values()].includes(host);
  }

  #keep(text: string): void {
    this.#output = (this.#output + text).slice(-OUTPUT_KEPT_CHARS);
  }

  close(): void {
    for (const socket of this.#sockets.keys()) socket.destroy();
    this.#server.close();
  }

  #send(order: Order, host: string): void {
    for (const [socket, name] of this.#sockets) if (name === host) this.#tell(socket, order);
  }

  #tell(socket: Socket, order: Order): void {
    socket.write(`${JSON.stringify(order)}\n`);
  }

  /** Whether the worker of `host` is in the middle of a step for this environment. */
  busy(environment: string, host: string): boolean {
    return (this.#underWay.get(`${host} ${environment}`) ?? 0) > 0;
  }

  #join(socket: Socket): void {
    let host = '';
    socket.on('error', () => undefined).on('close', () => this.#leave(socket, host));
    createInterface({ input: socket }).on('line', (line) => {
      const report = JSON.parse(line) as Report;
      if (report.type === 'joined') {
        host = report.host;
        this.#sockets.set(socket, host);
        for (const [environment, order] of this.#orders)
          if (order.host === host) this.#tell(socket, this.#heldAgain(environment, order));
        this.#tell(socket, { type: 'ready' });
      } else {
        this.#take(report, host);
      }
    });
  }

  #take(report: Exclude<Report, { type: 'joined' }>, host: string): void {
    const { environment } = report;
    if (report.type === 'holds') return this.#holding.get(environment)?.();
    const { activity } =
      report.type === 'ended' ? report.step : report.type === 'began' ? report.call : { activity: '' };
    if (report.type === 'began') this.#noteBegun(`${host} ${environment}`, report.call);
    // Whether a host is there is asked again and again, also of a run that stands still.
    const key = activity === 'checkHost' ? '' : `${host} ${environment}`;
    if (key !== '') this.#heard.set(environment, { at: performance.now(), what: `${report.type} ${activity}` });
    const count = this.#underWay.get(key) ?? 0;
    if (report.type === 'held') this.held.set(environment, { host, at: report.at });
    if (report.type === 'began') this.#underWay.set(key, count + 1);
    if (report.type !== 'ended') return;
    this.#underWay.set(key, count - 1);
    this.steps.set(environment, [...(this.steps.get(environment) ?? []), { ...report.step, host }]);
  }

  #heldAgain(environment: string, { host, position }: { host: string; position: Position }): Order {
    return { type: 'hold', environment, position, begun: this.#begun.get(`${host} ${environment}`) ?? [] };
  }

  #noteBegun(key: string, call: Call): void {
    const calls = this.#begun.get(key) ?? [];
    if (!calls.some(({ id }) => id === call.id)) this.#begun.set(key, [...calls, call]);
  }

  #leave(socket: Socket, host: string): void {
    this.#sockets.delete(socket);
    for (const key of this.#underWay.keys()) if (key.startsWith(`${host} `)) this.#underWay.delete(key);
  }
}
