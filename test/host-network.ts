import { execFileSync } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';

/**
 * A network of its own with this machine and several hosts, each in a network namespace: a host reaches nothing but this
 * machine's address, and its cable can be pulled.
 */
export class HostNetwork {
  /** Of this machine in it. Servers that listen here are reached by the hosts. */
  readonly address: string;
  readonly #name: string;
  readonly #hosts: readonly string[];

  private constructor(name: string, address: string, hosts: readonly string[]) {
    this.#name = name;
    this.address = address;
    this.#hosts = hosts;
  }

  /** Undefined where network namespaces are not permitted. */
  static create(hosts: readonly string[]): HostNetwork | undefined {
    // Names of network devices have at most 15 characters.
    const name = `cf${randomBytes(3).toString('hex')}`;
    const subnet = `10.${randomInt(100, 250)}.${randomInt(1, 250)}`;
    const network = new HostNetwork(name, `${subnet}.1`, hosts);
    // Also when the test fails, or is ended because it takes too long: nobody else would remove it.
    process.once('exit', () => network.remove());
    process.once('SIGTERM', () => process.exit(143));
    try {
      ip('link', 'add', name, 'type', 'bridge');
      ip('addr', 'add', `${subnet}.1/24`, 'dev', name);
      ip('link', 'set', name, 'up');
      for (const [index, host] of hosts.entries()) network.#addHost(host, `${subnet}.${index + 11}/24`);
      return network;
    } catch {
      network.remove();
      return undefined;
    }
  }

  /** The beginning of a command line that runs on `host`. */
  within(host: string): readonly string[] {
    return ['ip', 'netns', 'exec', `${this.#name}-${host}`];
  }

  /** Pulls the cable of `host`: nothing passes any more, and nobody is told. */
  cut(host: string): void {
    ip('link', 'set', `${this.#name}${host}`, 'down');
  }

  mend(host: string): void {
    ip('link', 'set', `${this.#name}${host}`, 'up');
  }

  remove(): void {
    for (const host of this.#hosts) tryIp('netns', 'del', `${this.#name}-${host}`);
    for (const host of this.#hosts) tryIp('link', 'del', `${this.#name}${host}`);
    tryIp('link', 'del', this.#name);
  }

  #addHost(host: string, address: string): void {
    const [namespace, ours, theirs] = [`${this.#name}-${host}`, `${this.#name}${host}`, `${this.#name}${host}i`];
    ip('netns', 'add', namespace);
    ip('link', 'add', ours, 'type', 'veth', 'peer', 'name', theirs, 'netns', namespace);
    ip('link', 'set', ours, 'master', this.#name, 'up');
    ip('-n', namespace, 'addr', 'add', address, 'dev', theirs);
    ip('-n', namespace, 'link', 'set', theirs, 'up');
    ip('-n', namespace, 'link', 'set', 'lo', 'up');
  }
}

function ip(...args: readonly string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

function tryIp(...args: readonly string[]): void {
  try {
    ip(...args);
  } catch {
    // It was never made, or went with its namespace.
  }
}
