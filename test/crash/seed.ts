import { randomInt } from 'node:crypto';

/** Chooses the random positions; the same again with COFRE_TEST_SEED. */
export const seed = Number(process.env['COFRE_TEST_SEED'] ?? randomInt(2 ** 31));
console.error(`COFRE_TEST_SEED=${seed} chooses these positions again`);
