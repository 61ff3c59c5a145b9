import { statSync } from 'node:fs';

import type { z } from 'zod';

import { CofreError } from '../errors/error.ts';
import { appliedPart, digestOf } from './applied.ts';
import { checkConfig, checkReferences, type Checkable } from './check.ts';
import { describeIssue, explainIssues } from './explain.ts';
import { freezeConfig, freezeDeep } from './freeze.ts';
import { hintsFor } from './hints.ts';
import { ConfigError, problemLine, type ConfigProblem, type Finding } from './problem.ts';
import { isMap, readConfiguration, SECTIONS, type PlainMap, type Reading } from './reading.ts';
import {
  configSchema,
  connectionSchema,
  ensureSchema,
  entrySchemas,
  type AppliedConfig,
  type Config,
  destinationsSchema,
  type ConnectionConfig,
  type EnsureConfig,
  type Section,
} from './schema.ts';

export interface LoadedConfig {
  /** Frozen through and through. */
  readonly config: Config;
  /** The main file, then those it includes. */
  readonly files: readonly string[];
  /** SHA-256 over the canonical JSON of what `cofre apply` stores. */
  readonly digest: string;
  /** What is allowed and still worth saying: an environment that no routine backs up, a connection without TLS. */
  readonly hints: readonly ConfigProblem[];
}

/**
 * Where the configuration is: `--config`, else `COFRE_CONFIG`, else `./cofre.yaml`, else `/etc/cofre/cofre.yaml`.
 * A file that was named is not replaced by another.
 * @throws CofreError `bad-config`, naming what was looked for.
 */
export function findConfigPath(explicit?: string): string {
  const fromEnvironment = process.env['COFRE_CONFIG'];
  const named = explicit ?? (fromEnvironment === '' ? undefined : fromEnvironment);
  const candidates = named === undefined ? ['cofre.yaml', '/etc/cofre/cofre.yaml'] : [named];
  const found = candidates.find((path) => statSync(path, { throwIfNoEntry: false }) !== undefined);
  if (found !== undefined) return found;
  const who = named === undefined ? '' : explicit === undefined ? ' (from COFRE_CONFIG)' : ' (from --config)';
  throw new CofreError('bad-config', `there is no configuration: looked for ${candidates.join(', ')}${who}`, {
    hint: 'name it with --config FILE or COFRE_CONFIG; examples/cofre.yaml is one to begin with',
  });
}

/**
 * Reads a whole configuration with what it includes.
 * @throws ConfigError with every mistake at once.
 */
export async function loadConfig(path: string): Promise<LoadedConfig> {
  const reading = await readConfiguration(path, true);
  const parsed = configSchema.safeParse(reading.raw, { error: describeIssue });
  const findings = parsed.success ? [] : findingsOf(reading, parsed.error.issues);
  // In what could not be read may stand what seems to be missing here.
  if (reading.complete) {
    const checkable = parsed.success ? { ...parsed.data, broken: new Set<Section>() } : validPart(reading.raw);
    findings.push(...checkReferences(reading.raw), ...checkConfig(checkable));
  }
  throwIfAny(reading, findings);
  if (!parsed.success) throw new Error('the schema refused what has no mistake');
  const config = freezeConfig(parsed.data);
  return freezeDeep({
    config,
    files: reading.files,
    digest: digestOf(appliedPart(config)),
    hints: [...reading.hints, ...hintsFor(config).map((hint) => reading.locate(hint))],
  });
}

/**
 * Reads how to reach Temporal and the catalog, and which host this is; nothing else in the file matters, and nothing
 * that it includes.
 * @throws ConfigError
 */
export async function loadConnection(path: string): Promise<ConnectionConfig> {
  const reading = await readConfiguration(path, false);
  return parseNeeded(reading, connectionSchema, ['temporal', 'catalog', 'host']);
}

/**
 * Reads the destinations; nothing else in the files matters. Gives undefined where there are none: a worker's own file says
 * only how to reach the rest.
 * @throws ConfigError
 */
export async function loadDestinations(path: string): Promise<Config['destinations'] | undefined> {
  const reading = await readConfiguration(path, true);
  if (!Object.hasOwn(reading.raw, 'destinations') && reading.complete) return undefined;
  return parseNeeded(reading, destinationsSchema, ['destinations']).destinations;
}

/**
 * Reads what `cofre ensure` needs; nothing else in the files matters. With `environment`, only that one and its server:
 * somebody's mistake in another environment must not keep this one from starting.
 * @throws ConfigError
 */
export async function loadEnsureConfig(path: string, environment?: string): Promise<EnsureConfig> {
  const reading = await readConfiguration(path, true);
  if (environment !== undefined) keepOnly(reading.raw, environment);
  const one = environment === undefined ? 'environments' : `environments.${environment}`;
  const config = parseNeeded(reading, ensureSchema, ['temporal', 'servers', one]);
  const unknown = checkReferences(reading.raw).filter(({ path: place }) => place[2] === 'database');
  // A file that could not be read may be the one that defines what is looked for.
  const known = reading.complete || (environment !== undefined && Object.hasOwn(config.environments, environment));
  if (unknown.length > 0 || !known) throwIfAny(reading, unknown);
  return config;
}

function keepOnly(raw: PlainMap, id: string): void {
  const environment: unknown =
    isMap(raw['environments']) && Object.hasOwn(raw['environments'], id) ? raw['environments'][id] : undefined;
  if (environment === undefined) {
    raw['environments'] = {};
    return;
  }
  raw['environments'] = { [id]: environment };
  const database = isMap(environment) ? environment['database'] : undefined;
  const name = isMap(database) ? database['server'] : undefined;
  const servers = raw['servers'];
  if (isMap(servers) && typeof name === 'string')
    raw['servers'] = Object.hasOwn(servers, name) ? { [name]: servers[name] } : {};
}

/** What a lenient schema names: the fields of a loose object that nobody asked for are left out. */
function parseNeeded<T extends z.ZodObject>(reading: Reading, schema: T, needed: readonly string[]): z.output<T> {
  const raw = Object.fromEntries(
    Object.entries(reading.raw).filter(([key]) => needed.some((field) => `${field}.`.startsWith(`${key}.`))),
  );
  const main = reading.files[0];
  const parsed = schema.safeParse(raw, { error: describeIssue });
  const inNeeded = reading.problems.filter(
    ({ file, field }) =>
      (file === main && field === '') || needed.some((key) => field === key || field.startsWith(`${key}.`)),
  );
  if (parsed.success && inNeeded.length === 0) return freezeDeep(parsed.data);
  const findings = parsed.success ? [] : findingsOf(reading, parsed.error.issues);
  throwProblems([
    ...(parsed.success ? inNeeded : reading.problems),
    ...findings.map((finding) => reading.locate(finding)),
  ]);
}

function findingsOf(reading: Reading, issues: readonly z.core.$ZodIssue[]): Finding[] {
  const all: z.core.$ZodIssue[] = [...issues];
  for (const issue of issues) {
    // zod does not look behind a name that it refuses; the operator wants to know that too.
    const [section, name] = issue.path;
    const entries = SECTIONS.includes(section as Section) ? reading.raw[section as Section] : undefined;
    if (issue.code !== 'invalid_key' || issue.path.length !== 2 || !isMap(entries)) continue;
    const behind = entrySchemas[section as Section].safeParse(entries[String(name)], { error: describeIssue });
    if (!behind.success)
      all.push(...behind.error.issues.map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] })));
  }
  const findings = explainIssues(all, reading.raw, (path) => reading.mayHoldPieceOfSecret(path));
  return reading.complete
    ? findings
    : findings.filter(({ path, message }) => path.length > 1 || message !== 'is missing');
}

/** The entries that are valid by themselves, for checks between them while others have mistakes. */
function validPart(raw: PlainMap): Checkable {
  const broken = new Set<Section>();
  const valid: Record<string, Record<string, unknown>> = {};
  for (const section of SECTIONS) {
    const entries: Record<string, unknown> = {};
    for (const [name, entry] of Object.entries(isMap(raw[section]) ? raw[section] : {})) {
      const parsed = entrySchemas[section].safeParse(entry);
      if (parsed.success) entries[name] = parsed.data;
      else broken.add(section);
    }
    valid[section] = entries;
  }
  const catalog = configSchema.shape.catalog.safeParse(raw['catalog']);
  return { ...(valid as unknown as AppliedConfig), catalog: catalog.success ? catalog.data : undefined, broken };
}

function throwIfAny(reading: Reading, findings: readonly Finding[]): void {
  const problems = [...reading.problems, ...findings.map((finding) => reading.locate(finding))];
  if (problems.length > 0) throwProblems(problems);
}

function throwProblems(problems: readonly ConfigProblem[]): never {
  // What an alias repeats is one mistake, at the place that it was written.
  const once = new Map(problems.map((problem) => [problemLine(problem), problem]));
  const order = new Map([...new Set(problems.map(({ file }) => file))].map((file, index) => [file, index]));
  const rank = ({ file }: ConfigProblem): number => order.get(file) ?? 0;
  throw new ConfigError([...once.values()].sort((a, b) => rank(a) - rank(b) || a.line - b.line || a.column - b.column));
}
