import type { Command } from 'commander';

import { EXIT } from './exit.ts';
import { examplesAndExits } from './help.ts';
import { printJson, say } from './print.ts';
import type { GlobalOptions } from './session.ts';
import type { Up } from './up/bring-up.ts';

export function register(program: Command, globals: () => GlobalOptions): void {
  program
    .command('up')
    .summary('everything on this machine: Temporal with its UI, catalog, schedules, worker')
    .description(
      'Serves what the configuration names on this machine and nobody serves yet: the Temporal development server with its UI,\n' +
        'and PostgreSQL for the catalog. Then it applies the configuration and works, until Ctrl-C stops everything cleanly.\n' +
        'The next `cofre up` comes back with everything where it was, after a crash too.',
    )
    .option('--dir <folder>', 'where the servers keep their data (else .cofre beside the configuration)')
    .addHelpText(
      'after',
      examplesAndExits(
        ['cofre up', 'cofre up --config /etc/cofre/cofre.yaml --dir /var/lib/cofre'],
        [0, 1, 2, 3, 4, 130],
      ),
    )
    .action(async ({ dir }: { dir?: string }) => {
      const options = globals();
      const interrupted = listenForStop();
      const [{ bringUp }, { createLog }] = await Promise.all([import('./up/bring-up.ts'), import('../workers/log.ts')]);
      let up: Up;
      try {
        up = await bringUp({ globals: options, folder: dir, log: createLog('error'), signal: interrupted });
      } catch (error) {
        if (!interrupted.aborted) throw error;
        process.exitCode = EXIT.interrupted;
        return;
      }
      for (const line of upInWords(up)) say(options, line);
      if (options.json)
        printJson({ temporal: up.config.temporal.address, ui: up.uiAddress, host: up.host ?? null, folder: up.folder });
      try {
        await Promise.race([up.failed, aborted(interrupted)]);
        say(options, 'stopping: the worker, then Temporal, then PostgreSQL (Ctrl-C again forces it)');
      } finally {
        await up.stop();
      }
      say(options, 'stopped; `cofre up` comes back with everything where it is');
    });
}

function upInWords({ config, folder, host, uiAddress, catalogServed }: Up): string[] {
  const { temporal, catalog } = config;
  const environment = Object.keys(config.environments)[0] ?? 'ENV';
  return [
    `Temporal  ${temporal.address}${uiAddress === null ? ', which was running already' : `, UI ${uiAddress}, kept in ${folder}/temporal`}`,
    `catalog   ${catalog.database} on ${catalog.host}:${catalog.port}${catalogServed ? `, kept in ${folder}/postgres` : ', which was running already'}`,
    `worker    ${host === undefined ? 'no host: it runs workflows and no backups' : `host ${host}, spool ${config.hosts[host]?.spool ?? ''}`}`,
    `next      cofre status, cofre backup ${environment}${uiAddress === null ? '' : `, or open ${uiAddress}`}; Ctrl-C here stops everything`,
  ];
}

/** The first Ctrl-C (or SIGTERM) asks everything to stop; the second does not wait, and the kernel ends the servers. */
export function listenForStop(): AbortSignal {
  const controller = new AbortController();
  const stop = (): void => {
    if (controller.signal.aborted) process.exit(EXIT.interrupted);
    controller.abort();
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  return controller.signal;
}

export async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
}
