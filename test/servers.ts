/** The servers that `test/run.ts` started for all test files; each test makes databases and names of its own on them. */
export interface TestServers {
  readonly postgres: { readonly host: string; readonly port: number; readonly user: string; readonly password: string };
  readonly temporal: { readonly address: string; readonly namespace: string };
}

export function testServers(): TestServers {
  const text = process.env['COFRE_TEST_SERVERS'];
  if (text === undefined) throw new Error('no test servers: run the tests with `npm test -- <path>`');
  return JSON.parse(text) as TestServers;
}
