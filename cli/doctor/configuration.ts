import { stat } from 'node:fs/promises';

import { findConfigPath, loadConfig, type LoadedConfig } from '../../config/load.ts';
import { ConfigError, problemLine } from '../../config/problem.ts';
import type { Config } from '../../config/schema.ts';
import { failureOf, ok, warn, type Check } from './check.ts';

const AREA = 'configuration';

/** The configuration, and what is wrong with it; without a valid one nothing else can be looked at. */
export async function examineConfiguration(
  explicit: string | undefined,
): Promise<{ loaded: LoadedConfig | null; checks: Check[] }> {
  try {
    const path = findConfigPath(explicit);
    const loaded = await loadConfig(path);
    const { environments, routines } = loaded.config;
    const counts = `${Object.keys(environments).length} environments, ${Object.keys(routines).length} routines`;
    const hints = loaded.hints.map((hint) => warn(AREA, problemLine(hint), 'change it, or leave it if it is meant'));
    return {
      loaded,
      checks: [ok(AREA, `${path} is valid: ${counts}`), ...hints, ...(await openSecrets(loaded.config))],
    };
  } catch (error) {
    if (!(error instanceof ConfigError)) return { loaded: null, checks: [failureOf(AREA, error)] };
    const checks = error.problems.map((problem): Check => ({
      area: AREA,
      state: 'fail',
      message: problemLine(problem),
    }));
    return { loaded: null, checks };
  }
}

/** Secrets that every user of this machine can read. That one cannot be read here is found where it is needed. */
async function openSecrets(config: Config): Promise<Check[]> {
  const checks: Check[] = [];
  for (const path of new Set(secretFiles(config))) {
    const mode = await stat(path).then(
      (found) => found.mode,
      () => 0,
    );
    if ((mode & 0o077) !== 0)
      checks.push(warn(AREA, `others on this machine may read the secret ${path}`, `chmod 600 ${path}`));
  }
  return checks;
}

function secretFiles(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, item]) =>
    key === 'password' && typeof item === 'string' && item.startsWith('file:')
      ? [item.slice('file:'.length)]
      : secretFiles(item),
  );
}
