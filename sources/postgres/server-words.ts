/**
 * What a server says when others' code or data fail is theirs to choose: `RAISE` says anything, a cast quotes the value
 * that it cannot read, and both may be a password or a person's number. So only sentences of PostgreSQL's own are
 * repeated, without the values in them. `""` stands for a name.
 */
const SENTENCES: readonly RegExp[] = [
  /^(relation|table|column|type|schema|role|index|sequence|constraint|extension|collation|language|server) ""( of relation "")? (does not exist|already exists)$/,
  /^text search (configuration|dictionary) "" does not exist$/,
  /^(function|procedure|operator) ("" )?does not exist$/,
  /^new row for relation "" violates check constraint ""$/,
  /^value for domain violates check constraint ""$/,
  /^insert or update on table "" violates foreign key constraint ""$/,
  /^duplicate key value violates unique constraint ""$/,
  /^conflicting key value violates exclusion constraint ""$/,
  /^could not create (unique index|exclusion constraint) ""$/,
  /^null value in column "" of relation "" violates not-null constraint$/,
  /^(column|check constraint) "" of relation "" (contains null values|is violated by some row)$/,
  /^invalid input syntax for type [a-z ]+$/,
  /^value (too long for type [a-z ]+\([0-9]+\)|is out of range for type [a-z ]+)$/,
  /^(numeric field overflow|([a-z]+ )?out of range|division by zero)$/,
  /^(permission denied for|must be owner of) [a-z -]+( "")?$/,
  /^permission denied to create (extension|role|database|subscription|event trigger)( "")?$/,
  /^must be (a )?superuser( to [a-z -]+)?$/,
  /^must be member of role ""$/,
  /^extension "" is not available$/,
  /^could not (write|read|extend|open|fsync) file ""(: [A-Z][a-z ]+)?$/,
  /^(out of shared memory|out of memory|sorry, too many clients already)$/,
  /^index row size [0-9]+ exceeds [a-z]+ version [0-9]+ maximum [0-9]+ for index ""$/,
  /^canceling statement due to (user request|statement timeout|lock timeout|conflict with recovery)$/,
];

/** A name in these sentences could be put together out of data, too; without digits it is hardly a person's number. */
const WITHOUT_DIGITS = /^[\p{L}_$.]+$/u;

const HIDDEN = 'why is in the log of the server: it may hold data of the tables, so it is not repeated here';

/** The first line of what the server said, as far as it holds no value; `isName` knows names that may be shown with digits, too. */
export function tellable(message: string, isName: (name: string) => boolean = () => false): string {
  const sentence = withoutValues(message.split('\n', 1)[0] ?? '');
  if (!SENTENCES.some((known) => known.test(sentence.replace(/"[^"]*"/g, '""')))) return HIDDEN;
  return sentence.replace(/"([^"]*)"/g, (quoted, name: string) =>
    WITHOUT_DIGITS.test(name) || isName(name) ? quoted : '"…"',
  );
}

function withoutValues(line: string): string {
  return line
    .replace(/^(invalid input syntax for type [a-z ]+): ".*$/, '$1')
    .replace(/^value ".*" (is out of range for type [a-z ]+)$/, 'value $1')
    .replace(/^(function|procedure) ([^(]+)\(.*\) does not exist$/, '$1 "$2" does not exist')
    .replace(/^operator does not exist: .*$/, 'operator does not exist')
    .replace(/^(permission denied for (?:function|procedure|routine|large object)) .*$/, '$1')
    .replace(/^(must be owner of (?:function|procedure|routine|large object)) .*$/, '$1')
    .replace(/^value for domain .* (violates check constraint ".*")$/, 'value for domain $1');
}
