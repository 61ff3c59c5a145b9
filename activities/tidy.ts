import { messageOf } from '../errors/error.ts';
import type { HostDependencies } from './backup.ts';
import type { RestorePlan } from './plans.ts';
import { asStep } from './step.ts';
import { tidyDestinations } from './tidy-destinations.ts';
import { tidyServer } from './tidy-server.ts';
import { tidySpool, type Tidied } from './tidy-spool.ts';
import { tidyUploads } from './tidy-uploads.ts';
import { told } from './told.ts';

export type TidyActivities = ReturnType<typeof createTidyActivities>;

export function createTidyActivities({ host, spool, catalog }: Pick<HostDependencies, 'host' | 'spool' | 'catalog'>) {
  return {
    /** Removes what runs that ended without doing so have left on this host, on these servers and in its destinations. */
    async tidyHost({ servers }: { servers: readonly RestorePlan['server'][] }): Promise<Tidied> {
      return await asStep(async ({ signal }) => {
        const all = [
          await tidySpool(spool, catalog),
          await tidyUploads(spool, catalog),
          await tidyDestinations(host, catalog, signal),
        ];
        for (const server of servers) {
          // A server that is down has troubles of its own, and the next night comes.
          const failed = (error: unknown): Tidied => ({
            removed: [],
            kept: [`what restores may have left on ${server.name}: ${messageOf(error)}`],
          });
          all.push(await tidyServer(server, catalog).catch(failed));
        }
        return {
          removed: told(all.flatMap(({ removed }) => removed)),
          kept: told(all.flatMap(({ kept }) => kept)),
        };
      });
    },
  };
}
