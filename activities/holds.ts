import { withDestination } from '../destinations/open.ts';
import type { HostDependencies } from './backup.ts';
import { layHold } from './hold-file.ts';
import type { NamedDestination } from './plans.ts';
import { asStep } from './step.ts';

export type HoldActivities = ReturnType<typeof createHoldActivities>;

export function createHoldActivities({ catalog }: Pick<HostDependencies, 'catalog'>) {
  return {
    /** Makes the hold's file beside the copy in one destination what the catalog says of it: there, another one, or gone. */
    async layHold(copy: { environment: string; backupId: string; destination: NamedDestination }): Promise<void> {
      const { destination, ...of } = copy;
      const { name, config } = destination;
      await asStep(({ signal }) =>
        withDestination(name, config, (place) => layHold(catalog, place, { ...of, destination: name }, signal)),
      );
    },
  };
}
