import type { Command } from 'commander';

import type { Check } from './doctor/check.ts';
import { examineCatalog } from './doctor/catalog.ts';
import { examineConfiguration } from './doctor/configuration.ts';
import { examineIdentity } from './doctor/identity.ts';
import { examineDestinations, examineSpool, examineTools } from './doctor/machine.ts';
import { examineServers } from './doctor/servers.ts';
import { examineTemporal } from './doctor/temporal.ts';
import { EXIT } from './exit.ts';
import { examplesAndExits } from './help.ts';
import { printResult } from './result.ts';
import { Session, type GlobalOptions } from './session.ts';

export function register(program: Command, globals: () => GlobalOptions): void {
  program
    .command('doctor')
    .summary('check this machine and the configuration, and say how to mend them')
    .description(
      'Looks at the configuration, Temporal, the catalog, the tools of this machine, its spool and destinations, and every database\n' +
        'server with its logins and environments. Each line says ok, warn or fail, and how to mend it. Nothing is changed.',
    )
    .addHelpText('after', examplesAndExits(['cofre doctor', 'cofre doctor --json'], [0, 1]))
    .action(async () => {
      const options = globals();
      const checks = await examineAll(options);
      const healthy = checks.every(({ state }) => state !== 'fail');
      printResult(options, { healthy, checks }, checksInWords(checks));
      process.exitCode = healthy ? EXIT.done : EXIT.failed;
    });
}

/** Everything that can be looked at from this machine; changes nothing, and never throws for what it finds. */
export async function examineAll({ config: path }: Pick<GlobalOptions, 'config'>): Promise<Check[]> {
  const { loaded, checks } = await examineConfiguration(path);
  if (loaded === null) return [...checks, ...(await examineTools())];
  const { config } = loaded;
  const hosts = Object.keys(config.hosts);
  const host = config.host ?? (hosts.length === 1 ? hosts[0] : undefined);
  const session = new Session(config);
  try {
    return [
      ...checks,
      ...(await examineTools()),
      ...(await examineTemporal(session, config)),
      ...(await examineCatalog(session, loaded)),
      ...(await examineSpool(config, host)),
      ...(await examineDestinations(config, host)),
      ...(await examineServers(config, host)),
      ...(await examineIdentity(config)),
    ];
  } finally {
    await session.close();
  }
}

function checksInWords(checks: readonly Check[]): string {
  const lines = checks.map(({ area, state, message, hint }) => {
    const mend = hint === undefined || state === 'ok' ? '' : `\n      → ${hint}`;
    return `${state.padEnd(4)}  ${area}: ${message}${mend}`;
  });
  const count = (state: Check['state']): number => checks.filter((check) => check.state === state).length;
  const end = `${count('ok')} ok, ${count('warn')} to look at, ${count('fail')} to mend`;
  return [...lines, '', end].join('\n');
}
