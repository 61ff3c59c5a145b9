// Checks docker-compose.yml against the Compose schema and a few rules, without Docker.
import { join } from 'node:path';

import { DCLinter } from 'dclint';

const MUST_HOLD = [
  'no-duplicate-container-names',
  'no-duplicate-exported-ports',
  'no-unbound-port-interfaces',
  'no-version-field',
  'require-project-name-field',
  'require-quotes-in-ports',
  'service-image-require-explicit-tag',
];
/** What dclint would rather have in another order or in another style. */
const NOT_OURS = [
  'no-build-and-image',
  'no-quotes-in-volumes',
  'service-container-name-regex',
  'service-dependencies-alphabetical-order',
  'service-keys-order',
  'service-ports-alphabetical-order',
  'services-alphabetical-order',
  'top-level-properties-order',
];

const rules = Object.fromEntries([...MUST_HOLD.map((rule) => [rule, 2]), ...NOT_OURS.map((rule) => [rule, 0])]);
const linter = new DCLinter({ rules, quiet: false, debug: false, exclude: [] });
const file = join(import.meta.dirname, '../docker-compose.yml');
const [result] = linter.lintFiles([file], false);
if (result === undefined) throw new Error(`${file} was not checked`);
for (const { line, column, message, rule } of result.messages)
  console.error(`docker-compose.yml:${line}:${column} ${message} (${rule})`);
process.exitCode = result.messages.length === 0 ? 0 : 1;
