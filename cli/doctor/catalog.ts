import { requireOwnNamespace } from '../../activities/namespace.ts';
import { currentConfiguration } from '../../catalog/configurations.ts';
import { CofreError } from '../../errors/error.ts';
import type { LoadedConfig } from '../../config/load.ts';
import type { Session } from '../session.ts';
import { examine, fail, ok, warn, type Check } from './check.ts';

const AREA = 'catalog';

/** Whether the catalog can be reached, has our schema, holds the configuration of the file, and belongs to this Temporal. */
export async function examineCatalog(session: Session, loaded: LoadedConfig): Promise<Check[]> {
  return await examine(AREA, async () => {
    const { host, port, database, user } = loaded.config.catalog;
    // Opening checks the version of the schema.
    const catalog = await session.catalog();
    const reached = ok(AREA, `${database} on ${host}:${port} answers ${user} and has this version's schema`);
    const current = await currentConfiguration(catalog).catch(ignoreNone);
    if (current === null) return [reached, fail(AREA, 'no configuration was applied yet', 'cofre apply')];
    const version =
      current.digest === loaded.digest
        ? ok(AREA, `version ${current.version} of the configuration is the one in the file`)
        : warn(
            AREA,
            `runs use version ${current.version} of the configuration, and the file is another`,
            'cofre apply shows what is different',
          );
    return [reached, version, ...(await examineNamespace(session))];
  });
}

async function examineNamespace(session: Session): Promise<Check[]> {
  return await examine(AREA, async () => {
    await requireOwnNamespace(await session.catalog(), await session.client());
    return [ok(AREA, 'it belongs to this Temporal namespace')];
  });
}

function ignoreNone(error: unknown): null {
  if (error instanceof CofreError && error.code === 'not-known') return null;
  throw error;
}
