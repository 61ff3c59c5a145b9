import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';

export type Limits = 'patient' | 'hasty';

/**
 * The product's workflows with other constants: a dead worker is noticed after seconds, and a minute of the
 * configuration lasts a second. Gives the path of the bundle in `folder`.
 */
export async function bundleWithShortLimits(folder: string, limits: Limits): Promise<string> {
  // Modules of the workflows, and what these tests put in their place.
  const replaced: Readonly<Record<string, string>> = {
    'time-limits.js': compiled(`${limits}-limits.js`),
    'duration.js': compiled('short-durations.js'),
  };
  const { code } = await bundleWorkflowCode({
    workflowsPath: compiled('../../workflows/index.js'),
    logger: new DefaultLogger('ERROR'),
    webpackConfigHook: (config) => ({
      ...config,
      plugins: [
        ...(config.plugins ?? []),
        {
          apply: (compiler) =>
            compiler.hooks.normalModuleFactory.tap('short limits', (factory) =>
              factory.hooks.beforeResolve.tap('short limits', (data) => {
                const other = replaced[data.request.split('/').at(-1) ?? ''];
                if (other !== undefined && data.contextInfo.issuer !== other) data.request = other;
              }),
            ),
        },
      ],
    }),
  });
  const path = join(folder, 'workflow-bundle.js');
  await writeFile(path, code);
  return path;
}

function compiled(file: string): string {
  return fileURLToPath(new URL(file, import.meta.url));
}
