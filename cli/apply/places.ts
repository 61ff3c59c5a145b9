import type { DestinationConfig } from '../../config/destination-schema.ts';
import type { Config } from '../../config/schema.ts';
import { sees } from '../../activities/plans.ts';
import { samePlace } from '../../activities/source.ts';
import { addressOf, placeOf, type Place, type PlaceState } from '../../destinations/place.ts';
import { CofreError } from '../../errors/error.ts';
import { tellSilence } from '../silence.ts';

export interface PlaceStep {
  readonly destination: string;
  readonly place: Place;
  /** What it looks like from this machine, or why that cannot be said. */
  readonly state: PlaceState | CofreError;
  /** Marked now: it is new in this version, and it is there and empty. */
  readonly prepare: boolean;
  /** The destination led to another place before. */
  readonly moved: boolean;
}

/**
 * The destinations that this machine sees and that are not ready. One that is not new is never prepared by itself:
 * an empty folder may be the mount point of a volume that is not mounted just now.
 * @throws CofreError `bad-config` when two of them are one place.
 */
export async function planPlaces(
  config: Pick<Config, 'destinations'>,
  host: string | undefined,
  formerAddresses: Readonly<Record<string, string | undefined>>,
): Promise<PlaceStep[]> {
  const [same] = await samePlaces(config, host);
  if (same !== undefined) throw samePlace(...same);
  const steps: PlaceStep[] = [];
  for (const [destination, settings] of seenFromHere(config, host)) {
    const place = placeOf(settings);
    const state = await tellSilence(destination, stateFromHere(place, settings));
    const former = formerAddresses[destination];
    const isNew = former !== addressOf(settings);
    if (state === 'prepared') continue;
    steps.push({
      destination,
      place,
      state,
      prepare: isNew && state === 'empty',
      moved: isNew && former !== undefined,
    });
  }
  return steps;
}

/** Pairs of destinations that are one place, by a link, a mount or another address, whatever they look like. */
export async function samePlaces(
  config: Pick<Config, 'destinations'>,
  host: string | undefined,
): Promise<[string, string][]> {
  const known = new Map<string, string>();
  const pairs: [string, string][] = [];
  for (const [name, settings] of seenFromHere(config, host)) {
    const ids = await tellSilence(name, placeOf(settings).identities());
    const other = ids.map((id) => known.get(id)).find((found) => found !== undefined);
    if (other !== undefined) pairs.push([other, name]);
    for (const id of ids) known.set(id, known.get(id) ?? name);
  }
  return pairs;
}

/** The destinations that can be looked at from this machine; of an unknown one, those that every host sees. */
export function seenFromHere(
  { destinations }: Pick<Config, 'destinations'>,
  host: string | undefined,
): [string, DestinationConfig][] {
  return Object.entries(destinations).filter(([, settings]) =>
    host === undefined ? settings.hosts === undefined : sees(host, settings),
  );
}

/** Over a network: what applies a configuration need not have the way there, nor the secrets. */
async function stateFromHere(place: Place, { type }: DestinationConfig): Promise<PlaceState | CofreError> {
  try {
    return await place.state();
  } catch (error) {
    if (type === 'directory' || !(error instanceof CofreError)) throw error;
    return error;
  }
}

/** What to do about a place that is not ready, in words. */
export function placeInWords(step: PlaceStep): string {
  const { destination } = step;
  const then = step.moved
    ? `; it is another place than before, and cofre sync ${destination} tells what is missing there`
    : '';
  if (step.prepare) return `prepare ${step.place.what} of the destination ${destination}${then}`;
  const { message, hint } = placeTrouble(step);
  return `${message}: ${hint}`;
}

/** What is wrong with a place that is not prepared, and how to mend it. */
export function placeTrouble({ destination, place, state }: Omit<PlaceStep, 'prepare' | 'moved'>): {
  message: string;
  hint: string;
} {
  const what = `${place.what} of the destination ${destination}`;
  const prepare = `cofre destination prepare ${destination}`;
  if (typeof state !== 'string') {
    const hint = `on a host that reaches it: ${prepare}`;
    return { message: `${what} cannot be looked at from here (${state.message})`, hint };
  }
  switch (state) {
    case 'missing':
      return { message: `${what} is not there`, hint: `${place.hints.missing}, then ${prepare}` };
    case 'empty':
      return { message: `${what} is empty`, hint: `${place.hints.empty}; if it is, ${prepare}` };
    case 'not-empty':
      return {
        message: `${what} holds other things`,
        hint: `look whether it is the right one; if it is, ${prepare} --force`,
      };
    case 'foreign':
      return { message: `${what} was prepared by something else`, hint: 'look what is there' };
    case 'prepared':
      return { message: `${what} is ready`, hint: 'nothing to do' };
  }
}
