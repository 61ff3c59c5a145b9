import { randomBytes } from 'node:crypto';

import { migrateCatalog } from '../../catalog/migrate.ts';
import { openCatalog, type Catalog } from '../../catalog/open.ts';
import { Secret } from '../../config/secret.ts';
import { withClient, type PostgresTarget } from '../../postgres/connect.ts';
import { testServers } from '../servers.ts';

export interface FreshDatabase {
  /** The database's owner, who runs the migrations and is no superuser. */
  readonly owner: PostgresTarget;
  readonly runtime: PostgresTarget;
  drop(): Promise<void>;
}

/** An empty database of its own, with two roles as an installation has them. */
export async function freshDatabase(): Promise<FreshDatabase> {
  const { host, port, user, password } = testServers().postgres;
  const name = `catalog_${randomBytes(4).toString('hex')}`;
  const admin: PostgresTarget = { host, port, tls: 'off', user, password: new Secret(password), database: 'postgres' };
  await withClient(admin, async (client) => {
    await client.query(`CREATE ROLE ${name}_owner LOGIN PASSWORD 'o'`);
    await client.query(`CREATE ROLE ${name}_runtime LOGIN PASSWORD 'r'`);
    await client.query(`CREATE DATABASE ${name} OWNER ${name}_owner`);
  });
  return {
    owner: { ...admin, user: `${name}_owner`, password: new Secret('o'), database: name },
    runtime: { ...admin, user: `${name}_runtime`, password: new Secret('r'), database: name },
    drop: () =>
      withClient(admin, async (client) => {
        await client.query(`DROP DATABASE ${name} WITH (FORCE)`);
        await client.query(`DROP ROLE ${name}_owner, ${name}_runtime`);
      }),
  };
}

export interface FreshCatalog extends FreshDatabase {
  readonly catalog: Catalog;
}

/** A migrated catalog of its own, opened as the runtime role. `drop` closes it. */
export async function freshCatalog(): Promise<FreshCatalog> {
  const database = await freshDatabase();
  await migrateCatalog(database.owner, { runtimeUser: database.runtime.user });
  const catalog = await openCatalog(database.runtime);
  return {
    ...database,
    catalog,
    drop: async () => {
      await catalog.close();
      await database.drop();
    },
  };
}
