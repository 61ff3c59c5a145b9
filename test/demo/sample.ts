import { randomBytes } from 'node:crypto';

import { Secret } from '../../config/secret.ts';
import { createSampleDatabase, type SampleReport } from '../../demo/sample-database.ts';
import { withClient, type PostgresTarget } from '../../postgres/connect.ts';
import { testServers } from '../servers.ts';

export const SMALL = 2000;

export interface Sample {
  readonly admin: PostgresTarget;
  /** The sample itself, as the superuser. */
  readonly target: PostgresTarget;
  readonly owner: string;
  readonly ownerPassword: Secret;
  readonly report: SampleReport;
  remove(): Promise<void>;
}

export function testAdmin(): PostgresTarget {
  const { host, port, user, password } = testServers().postgres;
  return { host, port, tls: 'off', user, password: new Secret(password), database: 'postgres' };
}

/** A small sample database with a name and an owner of its own. */
export async function makeSample(): Promise<Sample> {
  const admin = testAdmin();
  const suffix = randomBytes(4).toString('hex');
  const database = `Amostra ${suffix}`;
  const owner = `dono_${suffix}`;
  const ownerPassword = new Secret("senha 'com' aspas \\ e ç");
  const report = await createSampleDatabase(admin, { database, owner, ownerPassword, rows: SMALL });
  const remove = (): Promise<void> =>
    withClient(admin, async (client) => {
      await client.query(`DROP DATABASE IF EXISTS "${database}" WITH (FORCE)`);
      await client.query(`DROP ROLE ${owner}`);
    });
  return { admin, target: { ...admin, database }, owner, ownerPassword, report, remove };
}
