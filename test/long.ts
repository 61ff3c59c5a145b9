/** Whether this is `npm run test:long`: full size. `npm test` has a bounded form of the same tests. */
export const isLong = process.env['COFRE_TEST_LONG'] === '1';
