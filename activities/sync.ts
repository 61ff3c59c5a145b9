import { Context } from '@temporalio/activity';

import { withDestination } from '../destinations/open.ts';
import type { HostDependencies } from './backup.ts';
import { compareDestination } from './compare-destination.ts';
import type { Comparison } from './differences.ts';
import type { NamedDestination } from './plans.ts';
import { asStep } from './step.ts';

export type SyncActivities = ReturnType<typeof createSyncActivities>;

export function createSyncActivities({ catalog }: Pick<HostDependencies, 'catalog'>) {
  return {
    /** Compares one destination with the catalog; marks and enters what it finds, and removes nothing. */
    async compareDestination({ destination }: { destination: NamedDestination }): Promise<Comparison> {
      const { workflowId = '', runId = '' } = Context.current().info.workflowExecution ?? {};
      const { name, config } = destination;
      return await asStep(({ signal, report }) =>
        compareDestination({
          ...{ catalog, destination: name, workflowId, runId, signal },
          open: (use) => withDestination(name, config, use),
          onProgress: (doing) => report({ doing }),
        }),
      );
    },
  };
}
