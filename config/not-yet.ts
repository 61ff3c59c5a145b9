import type { Path } from './problem.ts';

/**
 * What the configuration will have, and what would silently not happen if this version accepted it.
 * A line goes when the schema learns the field.
 */
const FIELDS: Readonly<Record<string, string>> = {
  'environments.*.files': 'nothing of it would be backed up',
  'environments.*.keys': 'nothing of it would be backed up',
  'policies.*.encryption': 'copies would not be encrypted',
  'policies.*.retention': 'nothing would ever be deleted',
  'policies.*.objectives': 'no alarm would fire',
  'destinations.*.plain': 'no copy is encrypted yet',
  'routines.*.mode': 'every backup is a full one',
};

const VALUES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'routines.*.run': {
    backupEnvironment: 'files and keys would not be backed up; backupDatabase does the database',
    backupFiles: 'nothing would be backed up',
    backupKeys: 'nothing would be backed up',
    pruneBackups: 'nothing would be deleted',
    restoreDrill: 'nothing would be proven',
    checkObjectives: 'no alarm would fire',
    restoreToHomologation: 'nothing would be restored',
  },
};

/** The refusal of a field (or, with `value`, of a field's value) that only a later version has; else undefined. */
export function notYet(path: Path, value?: unknown): string | undefined {
  const place = path.map((step, index) => (index === 1 ? '*' : step)).join('.');
  const values = Object.hasOwn(VALUES, place) ? VALUES[place] : undefined;
  const consequence =
    typeof value === 'string' && values !== undefined && Object.hasOwn(values, value) ? values[value] : undefined;
  if (consequence !== undefined) return refusal(`${value as string} is `, consequence);
  if (value === undefined && Object.hasOwn(FIELDS, place)) return refusal('', FIELDS[place] ?? '');
  return undefined;
}

function refusal(what: string, consequence: string): string {
  return `${what}not in this version of Cofre; leave it out (${consequence})`;
}
