import { FaultProxy } from '../test/fault-proxy.ts';

/** A process of its own that leads to a port of 127.0.0.1 over a long way: its port, and how long each direction takes. */
const [port = '', delayMs = ''] = process.argv.slice(2);
const proxy = await FaultProxy.start({ host: '127.0.0.1', port: Number(port) });
proxy.delay(Number(delayMs));
process.stdout.write(`${proxy.port}\n`);
