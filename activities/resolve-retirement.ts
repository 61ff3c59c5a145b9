import { unconfirmedSince } from '../catalog/hold-confirmations.ts';
import { givenUpIn, neededIn } from '../catalog/retired.ts';
import type { Catalog } from '../catalog/open.ts';
import type { AppliedConfig } from '../config/schema.ts';
import { CofreError } from '../errors/error.ts';
import { namedDestination, otherDestinations, readApplied } from './applied.ts';

export interface RetirementPlan {
  readonly configVersion: number;
  readonly environments: readonly string[];
}

/**
 * Resolves a run that retires a destination: the environments of which only it has something.
 * @throws CofreError `refused` while the configuration still sends copies there, or would have them go where they are or were given
 * up; and while holds wait for their confirmation.
 */
export async function resolveRetirement(
  catalog: Catalog,
  { destination, to }: { destination: string; to: string },
): Promise<RetirementPlan> {
  const { version, config } = await readApplied(catalog);
  for (const name of [destination, to]) namedDestination(config, name);
  if (destination === to) throw new CofreError('refused', `${destination} cannot be retired to itself`);
  const users = usersOf(config, destination);
  if (users.length > 0) {
    throw new CofreError('refused', `${destination} still gets copies: ${users.join(', ')}`, {
      hint: 'take it out there in cofre.yaml and cofre apply, but leave it in destinations: until it is retired',
    });
  }
  // Its holds would be forgotten with its copies, and nobody has said that all of them were found.
  if ((await unconfirmedSince(catalog)) !== null) {
    throw new CofreError(
      'refused',
      'the holds of this catalog are not confirmed: backups were taken in from destinations',
      {
        hint: `cofre sync ${destination} takes the holds that lie there; then cofre catalog confirm`,
      },
    );
  }
  const others = otherDestinations(config, destination);
  const givenUp = await givenUpIn(catalog, destination, others, to);
  if (givenUp > 0) {
    throw new CofreError(
      'refused',
      `of ${givenUp} backups only ${destination} has something, and their copies in ${to} were given up and are not made again`,
      { hint: `name another destination than ${to}` },
    );
  }
  // One that has left the configuration cannot be copied; its backups are told as left.
  const { environments } = await neededIn(catalog, destination, others);
  return { configVersion: version, environments: environments.filter((id) => Object.hasOwn(config.environments, id)) };
}

function usersOf({ policies, routines }: AppliedConfig, destination: string): string[] {
  return [
    ...Object.entries(policies).flatMap(([name, { copies }]) =>
      copies.to.includes(destination) ? [`policies.${name}`] : [],
    ),
    ...Object.entries(routines).flatMap(([name, { from, to }]) =>
      from === destination || to?.includes(destination) === true ? [`routines.${name}`] : [],
    ),
  ];
}
