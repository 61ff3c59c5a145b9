import { readApplied, resolveEnvironment } from '../../activities/applied.ts';
import { acceptServer, recordedServer } from '../../catalog/servers.ts';
import { resolveSecret } from '../../config/secret.ts';
import { withClient } from '../../postgres/connect.ts';
import { readServerFacts } from '../../sources/postgres/facts.ts';
import { EXIT } from '../exit.ts';
import { confirm, printJson, say, table } from '../print.ts';
import type { GlobalOptions, Session } from '../session.ts';

/** The environment's database is on the server that answers now, from now on. Gives the exit code. */
export async function acceptServerOf(
  session: Session,
  options: GlobalOptions,
  environment: string,
  by: string,
): Promise<number> {
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
    return EXIT.done;
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
    return EXIT.refused;
  }
  await acceptServer(catalog, environment, seen, by);
  say(options, `accepted: ${environment} is on ${serverName} from now on; next: cofre backup ${environment}`);
  if (options.json) printJson({ environment, changed: true, server: seen });
  return EXIT.done;
}
