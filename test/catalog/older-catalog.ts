import { readMigrations } from '../../catalog/migrations.ts';
import { withClient, type PostgresTarget } from '../../postgres/connect.ts';

/** Makes a catalog as the Cofre before this one had it: without the newest migration. Gives its version. */
export async function makeOlderCatalog(owner: PostgresTarget): Promise<number> {
  const older = (await readMigrations()).slice(0, -1);
  await withClient(owner, async (client) => {
    await client.query('CREATE SCHEMA cofre');
    await client.query(
      'CREATE TABLE cofre.migrations (version integer PRIMARY KEY, name text NOT NULL, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())',
    );
    for (const { version, name, sql, sha256 } of older) {
      await client.query(sql);
      await client.query('INSERT INTO cofre.migrations VALUES ($1, $2, $3)', [version, name, sha256]);
    }
  });
  return older.length;
}
