import { canonicalJson } from '../../config/applied.ts';
import type { Section } from '../../config/schema.ts';
import { CofreError } from '../../errors/error.ts';

/** The sections of a configuration as JSON: a stored one may be from a version of Cofre with other fields. */
export type Sections = Readonly<Partial<Record<Section, Readonly<Record<string, unknown>>>>>;

export interface Change {
  readonly section: Section;
  readonly name: string;
  readonly kind: 'new' | 'changed' | 'removed';
  /** For a change: each field with its old and new value, `at: 21:00 → 22:00`. */
  readonly fields: readonly string[];
}

const SECTIONS: readonly Section[] = ['hosts', 'servers', 'destinations', 'policies', 'environments', 'routines'];
const SINGULAR: Readonly<Record<Section, string>> = {
  hosts: 'host',
  servers: 'server',
  destinations: 'destination',
  policies: 'policy',
  environments: 'environment',
  routines: 'routine',
};
const NAMES_SHOWN = 20;
const FIELDS_SHOWN = 6;

/** What is different between two configurations, entry by entry. */
export function changesBetween(before: Sections, after: Sections): Change[] {
  return SECTIONS.flatMap((section) => {
    const old = before[section] ?? {};
    const now = after[section] ?? {};
    const names = [...new Set([...Object.keys(old), ...Object.keys(now)])].sort();
    return names.flatMap((name): Change[] => {
      if (!Object.hasOwn(old, name)) return [{ section, name, kind: 'new', fields: [] }];
      if (!Object.hasOwn(now, name)) return [{ section, name, kind: 'removed', fields: [] }];
      const fields = fieldChanges('', old[name], now[name]);
      return fields.length === 0 ? [] : [{ section, name, kind: 'changed', fields }];
    });
  });
}

/** One line for each changed entry, and one for all new ones of a section. */
export function changesInWords(changes: readonly Change[]): string[] {
  return SECTIONS.flatMap((section) => {
    const own = changes.filter((change) => change.section === section);
    const lines: string[] = [];
    for (const kind of ['new', 'removed'] as const) {
      const names = own.filter((change) => change.kind === kind).map(({ name }) => name);
      if (names.length > 0)
        lines.push(`${kind} ${names.length === 1 ? SINGULAR[section] : section}: ${shorten(names)}`);
    }
    for (const { name, kind, fields } of own) {
      if (kind !== 'changed') continue;
      const more = fields.length > FIELDS_SHOWN ? [`and ${fields.length - FIELDS_SHOWN} more`] : [];
      lines.push(`changed ${SINGULAR[section]} ${name}: ${[...fields.slice(0, FIELDS_SHOWN), ...more].join('; ')}`);
    }
    return lines;
  });
}

/**
 * A file with half its entries lost is a mistake more often than a wish.
 * @throws CofreError `refused` when more than a tenth of the environments or routines would go; one may always go.
 */
export function requireFewRemovals(before: Sections, changes: readonly Change[]): void {
  for (const section of ['environments', 'routines'] as const) {
    const total = Object.keys(before[section] ?? {}).length;
    const removed = changes.filter((change) => change.section === section && change.kind === 'removed');
    if (removed.length <= Math.max(1, Math.floor(total / 10))) continue;
    throw new CofreError(
      'refused',
      `${removed.length} of ${total} ${section} are not in the file any more, more than a tenth`,
      {
        hint: 'look whether a part of the file is missing (include:); if it is meant: cofre apply --force',
      },
    );
  }
}

function shorten(names: readonly string[]): string {
  const more = names.length > NAMES_SHOWN ? `, and ${names.length - NAMES_SHOWN} more` : '';
  return names.slice(0, NAMES_SHOWN).join(', ') + more;
}

function fieldChanges(field: string, before: unknown, after: unknown): string[] {
  if (isMap(before) && isMap(after)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
    return keys.flatMap((key) => fieldChanges(field === '' ? key : `${field}.${key}`, before[key], after[key]));
  }
  if (canonicalJson(before ?? null) === canonicalJson(after ?? null)) return [];
  return [`${field}: ${inWords(before)} → ${inWords(after)}`];
}

function inWords(value: unknown): string {
  if (value === undefined) return 'not set';
  const words = typeof value === 'string' ? value : JSON.stringify(value);
  return words.length > 80 ? `${words.slice(0, 79)}…` : words;
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
