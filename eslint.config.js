import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

/**
 * Few rules, none of them suppressed anywhere. The imports of each folder go one way; test/imports.test.ts shows that
 * each direction is guarded:
 *
 *   cli, workers -> workflows, activities -> sources, destinations, catalog -> postgres -> config -> processes -> errors
 */

/** Modules without imports of their own that reach outside: workflows, which are replayed, may run them. */
const PURE = ['activities/plans', 'catalog/backup-id', 'config/duration'];

const PROGRAMS = ['cli', 'workers', 'demo', 'bench', 'test', 'tools'];
const ORCHESTRATION = ['workflows', 'activities', ...PROGRAMS];
const WORK = ['catalog', 'sources', 'destinations', ...ORCHESTRATION];

/** What the files of a folder may not import from other folders, and why. */
const directions = [
  forbid('errors', ['processes', 'config', 'postgres', ...WORK], 'errors are below everything'),
  forbid('processes', ['config', 'postgres', ...WORK], 'processes know only errors'),
  forbid('config', ['postgres', ...WORK], 'the configuration is below what uses it'),
  forbid('postgres', WORK, 'a session knows nothing of what it is used for'),
  forbid('catalog', ['sources', 'destinations', ...ORCHESTRATION], 'the catalog records what others do'),
  forbid('sources', ['destinations', ...ORCHESTRATION], 'sources know neither Temporal nor destinations'),
  forbid('destinations', ['sources', ...ORCHESTRATION], 'destinations know neither Temporal nor sources'),
  forbid('activities', ['workflows', ...PROGRAMS], 'activities are steps; workflows decide which'),
  forbid('workers', ['cli', 'demo', 'bench', 'test', 'tools'], 'a worker stands on its own'),
  forbid('cli', ['demo', 'bench', 'test'], 'the product does not need its demonstration or tests'),
  forbid(
    'tools',
    ['workflows', 'activities', 'cli', 'workers', 'demo', 'bench', 'test'],
    'tools provide servers; they know no backups',
  ),
];

/** These folders do their work without knowing that Temporal runs them. */
const withoutTemporal = ['errors', 'processes', 'config', 'postgres', 'catalog', 'sources', 'destinations'];

export default defineConfig(
  { ignores: ['dist*/', 'node_modules/', '.tools/', '.cofre/'] },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.base],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    linterOptions: { noInlineConfig: true },
    rules: {
      '@typescript-eslint/no-floating-promises': [
        'error',
        {
          allowForKnownSafeCalls: [
            { from: 'package', package: 'node:test', name: ['test', 'it', 'describe', 'suite'] },
          ],
        },
      ],
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/only-throw-error': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      'max-lines': ['error', 400],
      'no-restricted-exports': ['error', { restrictDefaultExports: { direct: true, named: true, defaultFrom: true } }],
    },
  },
  ...directions.map(({ folder, patterns }) => ({
    files: [`${folder}/**/*.ts`],
    rules: {
      '@typescript-eslint/no-restricted-imports': [
        'error',
        { patterns: [...patterns, ...(withoutTemporal.includes(folder) ? [forbidTemporal(folder)] : [])] },
      ],
    },
  })),
  {
    files: ['workflows/**/*.ts'],
    rules: {
      '@typescript-eslint/no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              regex: '^(?!\\.|@temporalio/(workflow|common)$)',
              message:
                'workflows are replayed: they may use @temporalio/workflow, @temporalio/common and pure code only',
            },
            {
              regex: `^(\\.\\./)+(?!(errors/.*|${PURE.join('|')})\\.ts$)`,
              allowTypeImports: true,
              message: 'workflows are replayed: from other folders they take types (import type) and pure code only',
            },
          ],
        },
      ],
      'no-restricted-globals': [
        'error',
        { name: 'process', message: 'workflows are replayed, anywhere: they see no process' },
      ],
    },
  },
);

function forbid(folder, others, reason) {
  const regex = `^(\\.\\./)+(${others.join('|')})/`;
  return { folder, patterns: [{ regex, message: `${folder}/ may not import this: ${reason}` }] };
}

function forbidTemporal(folder) {
  return { regex: '^@temporalio/', message: `${folder}/ may not import this: only what orchestrates knows Temporal` };
}
