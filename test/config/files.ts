import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after } from 'node:test';

import { loadConfig } from '../../config/load.ts';
import { ConfigError, problemLine } from '../../config/problem.ts';

/** A whole configuration without mistakes; tests replace parts of it. */
export const WHOLE = `catalog: { host: 127.0.0.1, database: cofre, user: cofre, password: env:CATALOG }
host: erp-01
hosts:
  erp-01: { spool: /var/lib/cofre/spool }
servers:
  pg-01: { host: 10.0.0.5, tls: require, backup: { user: b, password: env:B }, admin: { user: a, password: env:A } }
destinations:
  volume: { type: directory, path: /backups, hosts: [erp-01] }
policies:
  standard: { copies: { to: [volume] } }
environments:
  acme-prod:
    stage: production
    customer: acme
    policy: standard
    database: { server: pg-01, name: acme, owner: acme, roles: { acme: { password: env:ACME } } }
`;

/** Files in a folder of their own, gone after the tests; the path of `cofre.yaml` among them. */
export function writeFiles(files: Readonly<Record<string, string | Buffer>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'cofre-config-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  return join(folder, 'cofre.yaml');
}

/** `WHOLE` with one piece replaced by another. */
export function changed(...replacements: readonly (readonly [piece: string, by: string])[]): string {
  let text = WHOLE;
  for (const [piece, by] of replacements) {
    assert.ok(text.includes(piece), `the configuration of the tests has no ${piece}`);
    text = text.replace(piece, () => by);
  }
  return text;
}

export async function mistakesOf(load: () => Promise<unknown>): Promise<ConfigError> {
  try {
    await load();
  } catch (error) {
    assert.ok(error instanceof ConfigError, `not a ConfigError: ${String(error)}`);
    assert.equal(error.code, 'bad-config');
    assert.ok(error.problems.length > 0);
    return error;
  }
  throw new assert.AssertionError({ message: 'the configuration was accepted' });
}

/** The mistakes of a configuration as they are printed, without the folder. */
export async function linesOf(content: string | Readonly<Record<string, string | Buffer>>): Promise<string[]> {
  const path = writeFiles(typeof content === 'string' ? { 'cofre.yaml': content } : content);
  const { problems } = await mistakesOf(() => loadConfig(path));
  return problems.map((problem) => problemLine(problem).replaceAll(`${dirname(path)}/`, ''));
}
