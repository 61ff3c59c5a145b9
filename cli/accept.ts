import { hostname, userInfo } from 'node:os';

import type { Command } from 'commander';

import { readApplied, resolveEnvironment } from '../activities/applied.ts';
import { acceptServer, recordedServer } from '../catalog/servers.ts';
import { resolveSecret } from '../config/secret.ts';
import { withClient } from '../postgres/connect.ts';
import { readServerFacts } from '../sources/postgres/facts.ts';
import { EXIT } from './exit.ts';
import { examplesAndExits } from './help.ts';
import { confirm, printJson, say, table } from './print.ts';
import { Session, type GlobalOptions } from './session.ts';

export function register(program: Command, globals: () => GlobalOptions): void {
  program
    .command('accept')
    .summary("say that an environment's database is on another server from now on")
    .description(
      "Records the server that now answers at the environment's address. Until somebody says so, backups and restores on another\n" +
        'server than the recorded one are refused: a dump of the wrong server would pass every later check.',
    )
    .argument('<env>', 'the environment')
    .addHelpText('after', examplesAndExits(['cofre accept acme-prod'], [0, 1, 2, 3, 4]))
    .action(async (environment: string) => {
      const options = globals();
      const session = await Session.open(options);
      try {
        const catalog = await session.catalog();
        const { config } = await readApplied(catalog);
        const { server, serverName } = resolveEnvironment(config, environment);
        const { host, port, tls, admin, maintenanceDatabase } = server;
        const password = await resolveSecret(admin.password);
        const facts = await withClient(
          { host, port, tls, user: admin.user, password, database: maintenanceDatabase },
          readServerFacts,
        );
        const seen = { systemIdentifier: facts.systemIdentifier, server: serverName, version: facts.version };
        const recorded = await recordedServer(catalog, environment);
        if (recorded?.systemIdentifier === seen.systemIdentifier) {
          say(
            options,
            `${environment} is on the recorded server already (system identifier ${seen.systemIdentifier}); nothing to do`,
          );
          if (options.json) printJson({ environment, changed: false, server: seen });
          return;
        }
        say(
          options,
          table([
            ['', 'SERVER', 'SYSTEM IDENTIFIER', 'POSTGRESQL', 'SINCE'],
            [
              'recorded',
              recorded?.server ?? 'none',
              recorded?.systemIdentifier ?? '',
              recorded?.version ?? '',
              recorded?.recordedAt ?? '',
            ],
            ['seen now', `${serverName} (${host}:${port})`, seen.systemIdentifier, seen.version, ''],
          ]),
        );
        if (!(await confirm(options, `Is the database of ${environment} on the server seen now from now on?`))) {
          process.exitCode = EXIT.refused;
          return;
        }
        await acceptServer(catalog, environment, seen, `${userInfo().username}@${hostname()}`);
        say(options, `accepted: ${environment} is on ${serverName} from now on; next: cofre backup ${environment}`);
        if (options.json) printJson({ environment, changed: true, server: seen });
      } finally {
        await session.close();
      }
    });
}
