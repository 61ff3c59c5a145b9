import { nearestOf } from '../config/nearest.ts';
import { CofreError } from '../errors/error.ts';

const SHOWN = 10;

/** Says that a name is not known, with the names that were probably meant. `what` is `environment`, `destination`, … */
export function notKnown(what: string, name: string, known: readonly string[]): CofreError {
  const nearest = nearestOf(name, known);
  const near = nearest === undefined ? known.filter((one) => one.includes(name) || name.includes(one)) : [nearest];
  const listed = (names: readonly string[]): string =>
    `${names.slice(0, SHOWN).join(', ')}${names.length > SHOWN ? ', …' : ''}`;
  const hint =
    near.length > 0
      ? `did you mean ${listed(near)}?`
      : known.length > 0
        ? `known: ${listed(known)}`
        : 'cofre apply stores the configuration that names them';
  return new CofreError('not-known', `there is no ${what} "${name.slice(0, 80)}"`, { hint });
}

/** @throws CofreError `not-known`, with near names. */
export function requireKnown(what: string, name: string, known: readonly string[]): void {
  if (!known.includes(name)) throw notKnown(what, name, known);
}
