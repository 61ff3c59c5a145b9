import { appliedVersion, Catalog } from '../../catalog/open.ts';
import type { Config } from '../../config/schema.ts';
import { CofreError } from '../../errors/error.ts';
import { catalogOwner } from './plan.ts';

/** @throws CofreError `refused` when the catalog has backups: it is not lost, and what it knows must not be guessed anew. */
export async function requireNoBackups(config: Pick<Config, 'catalog'>): Promise<void> {
  const catalog = new Catalog(await catalogOwner(config));
  try {
    if ((await appliedVersion(catalog)) === 0) return;
    const [found] = await catalog.query<{ id: string }>('SELECT id FROM cofre.backups LIMIT 1');
    if (found === undefined) return;
    throw new CofreError('refused', 'the catalog is not empty: it has backups', {
      hint: 'cofre sync --repair takes in what it lacks, and proves it',
    });
  } finally {
    await catalog.close();
  }
}
