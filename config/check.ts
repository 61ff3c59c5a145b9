import { checkAliases } from './check-aliases.ts';
import { checkDestinations } from './check-destinations.ts';
import { checkEnvironments } from './check-environments.ts';
import { checkRoutines } from './check-routines.ts';
import { didYouMean } from './nearest.ts';
import { showName, type Finding, type Path } from './problem.ts';
import { isMap } from './reading.ts';
import type { AppliedConfig, Config, Section } from './schema.ts';

/** The entries that are valid by themselves, and which sections lost some that are not. */
export interface Checkable extends AppliedConfig {
  readonly catalog: Config['catalog'] | undefined;
  readonly broken: ReadonlySet<Section>;
}

/** What is wrong between entries that are each valid. Order: as in the file, section by section. */
export function checkConfig(config: Checkable): Finding[] {
  return [
    ...checkDestinations(config),
    ...checkAliases(config),
    ...checkEnvironments(config),
    ...checkRoutines(config),
  ];
}

/** Where names stand that must be names of another section; `*` is every name, `#` every position of a list. */
const REFERENCES: readonly (readonly [place: string, section: Section])[] = [
  ['host', 'hosts'],
  ['destinations.*.hosts.#', 'hosts'],
  ['policies.*.copies.to.#', 'destinations'],
  ['environments.*.policy', 'policies'],
  ['environments.*.hosts.#', 'hosts'],
  ['environments.*.productionOf', 'environments'],
  ['environments.*.database.server', 'servers'],
  ['routines.*.environments.names.#', 'environments'],
  ['routines.*.from', 'destinations'],
  ['routines.*.to.#', 'destinations'],
];

/** Looks at the raw content, so that a typing error elsewhere in an entry does not hide a wrong name in it. */
export function checkReferences(raw: unknown): Finding[] {
  return REFERENCES.flatMap(([place, section]) => {
    const known = isMap(raw) && isMap(raw[section]) ? raw[section] : {};
    return valuesAt(raw, place.split('.'), []).flatMap(({ path, value }) => {
      // What does not look like a name is the schema's to refuse, and is not repeated here.
      if (typeof value !== 'string' || !/^[a-z0-9-]{1,63}$/.test(value) || Object.hasOwn(known, value)) return [];
      return [{ path, message: unknownName(value, section, Object.keys(known)) }];
    });
  });
}

function unknownName(name: string, section: Section, known: readonly string[]): string {
  const list = known.slice(0, 10).map(showName).join(', ') + (known.length > 10 ? ', …' : '');
  const suggestion = didYouMean(name, known);
  return `there is no ${name} in ${section}${suggestion}; ${known.length === 0 ? 'it has no entries' : `known: ${list}`}`;
}

function valuesAt(value: unknown, steps: readonly string[], path: Path): { path: Path; value: unknown }[] {
  const [step, ...rest] = steps;
  if (step === undefined) return [{ path, value }];
  if (step === '#') {
    return Array.isArray(value) ? value.flatMap((item: unknown, index) => valuesAt(item, rest, [...path, index])) : [];
  }
  if (!isMap(value)) return [];
  const names = step === '*' ? Object.keys(value) : Object.hasOwn(value, step) ? [step] : [];
  return names.flatMap((name) => valuesAt(value[name], rest, [...path, name]));
}
