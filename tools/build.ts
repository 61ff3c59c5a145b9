import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';

import { projectFolder } from './project-folder.ts';

/** What the compiler does not make: run by `npm run build` after it, from the folder that it wrote to. */
const dist = dirname(import.meta.dirname);
const bundle = join(dist, 'workflow-bundle.js');
/** What workflows may import; the rest of the project cannot change the bundle. */
const BUNDLED_FOLDERS = ['workflows', 'activities', 'errors', 'config', 'catalog'];
/** Statements that are read when they are needed, from beside the compiled module. */
const SQL_FOLDERS = ['catalog/migrations', 'demo/sample'];

await removeOrphans();
await bundleWorkflows();
await writeEditorSchema();
await copySql();

/** What was made of a source that is gone is a leftover: a renamed test would run twice, a renamed migration stand in the way. */
async function removeOrphans(): Promise<void> {
  for (const file of await filesIn(dist)) {
    const source = join(projectFolder, relative(dist, file).replace(/\.js(\.map)?$/, '.ts'));
    if (/\.(ts|sql)$/.test(source) && file !== bundle && !existsSync(source)) await rm(file);
  }
}

async function bundleWorkflows(): Promise<void> {
  const workflowsPath = join(dist, 'workflows/index.js');
  if (!existsSync(workflowsPath)) return;
  const inputs = [join(projectFolder, 'package-lock.json')];
  for (const folder of BUNDLED_FOLDERS) {
    inputs.push(...(await filesIn(join(dist, folder))).filter((file) => file.endsWith('.js')));
  }
  if (await isNewest(bundle, inputs)) return;
  // Loading the bundler takes longer than all the rest of this file.
  const { bundleWorkflowCode, DefaultLogger } = await import('@temporalio/worker');
  const { code } = await bundleWorkflowCode({ workflowsPath, logger: new DefaultLogger('WARN') });
  await replace(bundle, code);
}

async function writeEditorSchema(): Promise<void> {
  const generator = join(dist, 'config/json-schema.js');
  if (!existsSync(generator)) return;
  const { configJsonSchema } = (await import(pathToFileURL(generator).href)) as { configJsonSchema: () => object };
  await replace(
    join(projectFolder, 'config/cofre.schema.json'),
    `${JSON.stringify(configJsonSchema(), undefined, 2)}\n`,
  );
}

async function copySql(): Promise<void> {
  for (const folder of SQL_FOLDERS) {
    for (const file of await filesIn(join(projectFolder, folder))) {
      if (file.endsWith('.sql')) await replace(join(dist, relative(projectFolder, file)), await readFile(file, 'utf8'));
    }
  }
}

async function filesIn(folder: string): Promise<string[]> {
  if (!existsSync(folder)) return [];
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

async function isNewest(file: string, others: readonly string[]): Promise<boolean> {
  if (!existsSync(file)) return false;
  const { mtimeMs } = await stat(file);
  const times = await Promise.all(others.map((other) => stat(other)));
  return times.every((time) => time.mtimeMs <= mtimeMs);
}

/** Leaves a file of the same content alone but for its time; a new one takes its place at once, never half written. */
async function replace(path: string, content: string): Promise<void> {
  if (existsSync(path) && (await readFile(path, 'utf8')) === content) {
    const now = new Date();
    return utimes(path, now, now);
  }
  await mkdir(dirname(path), { recursive: true });
  await writeFile(`${path}.new`, content);
  await rename(`${path}.new`, path);
}
