import { Context } from '@temporalio/activity';

import { dumpMatcher } from '../config/adoption.ts';
import { withDestination } from '../destinations/open.ts';
import { adoptDump, type Adopted, type Adoption } from './adopt-dump.ts';
import type { HostDependencies } from './backup.ts';
import { compareDestination } from './compare-destination.ts';
import type { Comparison } from './differences.ts';
import { findDumps, type DumpsFound } from './find-dumps.ts';
import type { NamedDestination } from './plans.ts';
import { asStep } from './step.ts';

export type SyncActivities = ReturnType<typeof createSyncActivities>;

export function createSyncActivities(dependencies: HostDependencies) {
  const { catalog, spool } = dependencies;
  return {
    /** Compares one destination with the catalog; marks and enters what it finds, and removes nothing. */
    async compareDestination({ destination }: { destination: NamedDestination }): Promise<Comparison> {
      const { workflowId = '', runId = '' } = Context.current().info.workflowExecution ?? {};
      const { name, config } = destination;
      const isDump = dumpMatcher(config.adopt?.dumps ?? []);
      return await asStep(({ signal, report }) =>
        compareDestination({
          ...{ catalog, destination: name, workflowId, runId, signal },
          isOthers: (key) => isDump(key) !== undefined,
          open: (use) => withDestination(name, config, use),
          onProgress: (doing) => report({ doing }),
        }),
      );
    },

    /** Looks for dumps of other jobs that are to become backups, and are none yet. */
    async findDumps({ destination }: { destination: NamedDestination }): Promise<DumpsFound> {
      const { name, config } = destination;
      return await asStep(({ signal, report }) =>
        withDestination(name, config, (place) =>
          findDumps({
            ...{ catalog, place, destination, scratch: spool.scratch, signal },
            onProgress: (dumps) => report({ doing: `looks for dumps in ${name}: ${dumps}` }),
          }),
        ),
      );
    },

    /** Makes a backup of one. */
    async adoptDump(adoption: Adoption): Promise<Adopted> {
      return await asStep((step) => adoptDump(dependencies, adoption, step));
    },
  };
}
