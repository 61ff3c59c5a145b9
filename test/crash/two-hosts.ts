import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { stringify } from 'yaml';

import { polledAtMs } from '../../cli/standstill.ts';
import { hostQueue } from '../../workflows/queues.ts';
import { FaultProxy } from '../fault-proxy.ts';
import { HostNetwork } from '../host-network.ts';
import { testServers } from '../servers.ts';
import { until } from '../until.ts';
import { WAIT_MS, type Disturbance } from './matrix.ts';
import { familyOf, signalIfThere } from './processes.ts';
import { CrashSite, type Purpose, type SiteConfig } from './site.ts';

type Host = 'h1' | 'h2';
const HOSTS: readonly Host[] = ['h1', 'h2'];

/** What lies between the hosts and the servers. */
interface Wiring {
  /** The beginning of the command line of a host's worker. */
  within(host: Host): readonly string[];
  /** Variables of its environment. */
  variables(host: Host): Record<string, string>;
  /** Pulls its cable: nothing passes any more, and nobody is told. */
  cut(host: Host): void;
  mend(host: Host): void;
  remove(): Promise<void>;
}

/**
 * A site with two hosts, each with a spool and a network of its own, that share a folder as destination. h1 is asked first.
 * Where network namespaces are not permitted a host has proxies of its own instead: then one that is cut off still reaches
 * the database server, but neither Temporal nor the catalog.
 */
export class TwoHosts {
  readonly site: CrashSite;
  readonly #wiring: Wiring;

  private constructor(site: CrashSite, wiring: Wiring) {
    this.site = site;
    this.#wiring = wiring;
  }

  static async create(count: Readonly<Partial<Record<Purpose, number>>>): Promise<TwoHosts> {
    const network = HostNetwork.create(HOSTS);
    if (network === undefined) {
      const site = await CrashSite.create(count, { limits: 'hasty', change: addSecondHost });
      return new TwoHosts(site, await wireByProxies(site));
    }
    const { host, postgres, temporal, proxies } = await listenIn(network);
    const remove = async (): Promise<void> => {
      for (const proxy of proxies) await proxy.stop();
      network.remove();
    };
    try {
      const change = (config: SiteConfig): void => {
        addSecondHost(config);
        Object.assign(config.temporal, { address: `${host}:${temporal}` });
        for (const place of [config.catalog, config.servers['pg']])
          Object.assign(place ?? {}, { host, port: postgres });
      };
      const site = await CrashSite.create(count, { limits: 'hasty', change });
      return new TwoHosts(site, {
        within: (one) => network.within(one),
        variables: () => ({}),
        cut: (one) => network.cut(one),
        mend: (one) => network.mend(one),
        remove,
      });
    } catch (error) {
      await remove();
      throw error;
    }
  }

  async startWorker(host: Host): Promise<void> {
    const within = this.#wiring.within(host);
    const worker = await this.site.workers.start(this.#wiring.variables(host), { host, within });
    if (host === 'h1') this.site.worker = worker;
  }

  async remove(): Promise<void> {
    try {
      await this.site.remove();
    } finally {
      await this.#wiring.remove();
    }
  }

  /** h1 is lost, with all that it was doing; it comes back only when the runs have long ended elsewhere. */
  readonly loseHost: Disturbance = async (site, { goOn, ended }) => {
    await site.installation.endWorker(site.worker, 'SIGKILL');
    goOn();
    await ended();
    await this.startWorker('h1');
  };

  /** Every process of h1 stands still, until the runs have ended elsewhere. Then all go on where they were. */
  readonly freezeHost: Disturbance = async (site, { environments, goOn, ended }) => {
    const processes = familyOf(site.worker.pid ?? 0);
    for (const pid of processes) process.kill(pid, 'SIGSTOP');
    await ended();
    goOn();
    for (const pid of processes) signalIfThere(pid, 'SIGCONT');
    await this.#untilDone(site, environments);
  };

  /** As `freezeHost`, but h1 wakes up when the other host has sent its own dump and has not published it yet. */
  readonly freezeUntilSent: Disturbance = async (site, { environments, goOn }) => {
    const processes = familyOf(site.worker.pid ?? 0);
    for (const pid of processes) process.kill(pid, 'SIGSTOP');
    for (const environment of environments)
      await site.workers.hold(environment, { activity: 'verify', call: 1, point: 'start' }, 'h2');
    await until(
      'the other host is about to publish',
      () => environments.every((environment) => site.workers.held.get(environment)?.host === 'h2'),
      WAIT_MS,
    );
    goOn();
    for (const pid of processes) signalIfThere(pid, 'SIGCONT');
    await this.#untilDone(site, environments);
    for (const environment of environments) site.workers.release(environment, undefined, 'h2');
  };

  /** The cable of h1 is pulled, while its processes go on; and plugged in again when the runs have ended elsewhere. */
  readonly cutHost: Disturbance = async (site, { environments, goOn, ended }) => {
    this.#wiring.cut('h1');
    goOn();
    await ended();
    const mendedAt = Date.now();
    this.#wiring.mend('h1');
    await this.#untilDone(site, environments);
    // What comes next would be taken by the other host, until this one has found its way to Temporal again.
    for (const weight of ['heavy', 'light'] as const) {
      const asked = (): Promise<number> => polledAtMs(site.client, hostQueue('h1', weight), 'activity');
      await until('h1 asks for work again', async () => (await asked()) > mendedAt, WAIT_MS);
    }
  };

  /** Until the steps of h1 that were under way have ended: only then is what they left theirs to answer for. */
  async #untilDone(site: CrashSite, environments: readonly string[]): Promise<void> {
    // TCP tries again the more seldom the longer a cable was out.
    await until(
      'the steps that h1 was at have ended',
      () => environments.every((environment) => !site.workers.busy(environment, 'h1')),
      WAIT_MS,
    );
  }
}

function addSecondHost(config: SiteConfig): void {
  const { h1 } = config.hosts;
  if (h1 !== undefined) config.hosts['h2'] = { ...h1, spool: `${h1.spool}-h2` };
  for (const destination of Object.values(config.destinations)) {
    delete destination['hosts'];
    destination['shared'] = true;
  }
}

/** The servers, in the network of the hosts. */
async function listenIn(
  network: HostNetwork,
): Promise<{ host: string; postgres: number; temporal: number; proxies: readonly FaultProxy[] }> {
  const [postgres, temporal] = await Promise.all(serverPorts().map((port) => proxyOf(port, network.address)));
  if (postgres === undefined || temporal === undefined) throw new Error('there are two servers');
  return {
    host: network.address,
    postgres: postgres.port,
    temporal: temporal.port,
    proxies: [postgres, temporal],
  };
}

/** Each host with a configuration file of its own, in which Temporal and the catalog are its own proxies. */
async function wireByProxies({ installation: { folder, config } }: CrashSite): Promise<Wiring> {
  const proxies = new Map<Host, readonly FaultProxy[]>();
  const file = (host: Host): string => join(folder, `${host}.yaml`);
  for (const host of HOSTS) {
    const own = await Promise.all(serverPorts().map((port) => proxyOf(port, '127.0.0.1')));
    proxies.set(host, own);
    const [postgres, temporal] = own.map(({ port }) => port);
    const { temporal: server, catalog } = config as unknown as SiteConfig;
    const known = {
      temporal: { ...server, address: `127.0.0.1:${temporal}` },
      catalog: { ...catalog, port: postgres },
      host,
    };
    await writeFile(file(host), stringify(known));
  }
  const of = (host: Host): readonly FaultProxy[] => proxies.get(host) ?? [];
  return {
    within: () => [],
    variables: (host) => ({ COFRE_CONFIG: file(host) }),
    cut: (host) => of(host).forEach((proxy) => proxy.stall()),
    mend: (host) => of(host).forEach((proxy) => proxy.restore()),
    async remove() {
      for (const proxy of HOSTS.flatMap(of)) await proxy.stop();
    },
  };
}

function serverPorts(): number[] {
  const { postgres, temporal } = testServers();
  return [postgres.port, Number(temporal.address.split(':')[1])];
}

async function proxyOf(port: number, address: string): Promise<FaultProxy> {
  return await FaultProxy.start({ host: '127.0.0.1', port }, address);
}
