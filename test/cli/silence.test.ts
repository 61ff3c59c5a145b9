import { createServer, type AddressInfo, type Server } from 'node:net';
import { after, before, test } from 'node:test';

import { RunningCommand } from './command.ts';
import { Installation } from './installation.ts';

let here: Installation;
let silent: Server;

before(async () => {
  here = await Installation.create();
  // Accepts, and says nothing.
  silent = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => silent.once('listening', resolve));
  const { port } = silent.address() as AddressInfo;
  const config = here.config();
  const bucket = { type: 'gcs', bucket: 'acme', endpoint: `http://127.0.0.1:${port}` };
  await here.write({ ...config, destinations: { ...config['destinations'], bucket } });
});
after(async () => {
  silent.close();
  await here.remove();
});

test('a destination that accepts connections and does not answer is told while it is waited for', async () => {
  const commands = [['apply'], ['doctor'], ['destination', 'prepare', 'bucket'], ['destination', 'check', 'bucket']];
  await Promise.all(
    commands.map(async (args) => {
      const command = new RunningCommand([...args, '--yes', '--config', here.configPath]);
      try {
        await command.says(/^bucket has not answered yet; Ctrl-C gives up$/m, 30_000);
      } finally {
        command.child.kill('SIGKILL');
        await command.ended;
      }
    }),
  );
});
