import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';

import { appliedPart, canonicalJson, digestOf, parseApplied } from '../../config/applied.ts';
import { durationMs } from '../../config/duration.ts';
import { configJsonSchema } from '../../config/json-schema.ts';
import { keepFreeBytes } from '../../config/keep-free.ts';
import { loadConfig } from '../../config/load.ts';
import { selectEnvironments } from '../../config/select-environments.ts';

describe('what is stored in the catalog', () => {
  test('comes back the same, frozen, whatever order the database gives it', async () => {
    const { config, digest } = await loadConfig('examples/cofre.yaml');
    const applied = appliedPart(config);
    assert.ok(!('catalog' in applied) && !('temporal' in applied) && !('host' in applied) && !('include' in applied));
    const reversed: unknown = JSON.parse(canonicalJson(applied), (_key, value: unknown) =>
      typeof value === 'object' && value !== null && !Array.isArray(value)
        ? Object.fromEntries(Object.entries(value).reverse())
        : value,
    );
    const back = parseApplied(reversed);
    assert.deepEqual(back, applied);
    assert.equal(digestOf(back), digest);
    assert.ok(Object.isFrozen(back.environments['acme-prod']?.database));
    assert.deepEqual(parseApplied(canonicalJson(applied)), applied);
  });

  test('from a newer version is refused, not half understood', async () => {
    const { config } = await loadConfig('examples/cofre.yaml');
    const stored = (): {
      environments: Record<string, object>;
      destinations: Record<string, object>;
      routines?: object;
    } => JSON.parse(canonicalJson(appliedPart(config))) as ReturnType<typeof stored>;
    const field = stored();
    field.environments['acme-prod'] = { ...field.environments['acme-prod'], files: ['/srv'] };
    assert.throws(() => parseApplied(field), {
      code: 'catalog-version',
      message: /a newer version of Cofre/,
      hint: /upgrade/,
    });
    const type = stored();
    type.destinations['volume'] = { type: 'tape', drive: 'd' };
    assert.throws(() => parseApplied(type), { code: 'catalog-version', message: /a newer version of Cofre/ });
    const missing = stored();
    delete missing.routines;
    assert.throws(() => parseApplied(missing), { code: 'catalog-version', hint: /cofre apply/ });
    for (const garbage of [null, 7, [], 'not json'])
      assert.throws(() => parseApplied(garbage), { code: 'bad-content' });
  });

  test('canonical JSON does not depend on the order of fields, and does on that of lists', () => {
    assert.equal(canonicalJson({ b: 1, a: [2, { d: 'é', c: undefined }] }), '{"a":[2,{"d":"é"}],"b":1}');
    assert.notEqual(canonicalJson([1, 2]), canonicalJson([2, 1]));
  });
});

test('a routine selects environments by every condition given', async () => {
  const { config } = await loadConfig('examples/cofre.yaml');
  const select = (selection: Parameters<typeof selectEnvironments>[1]): string[] =>
    selectEnvironments(config, selection);
  assert.deepEqual(select({}), ['acme-hml', 'acme-prod']);
  assert.deepEqual(select({ stage: 'production' }), ['acme-prod']);
  assert.deepEqual(select({ labels: { plan: 'gold' }, customer: 'acme' }), ['acme-prod']);
  assert.deepEqual(select({ labels: { plan: 'gold' }, stage: 'homologation' }), []);
  assert.deepEqual(select({ labels: { constructor: 'x' } }), []);
  assert.deepEqual(select({ names: ['acme-hml', 'gone'] }), ['acme-hml']);
});

test('durations and what stays free', () => {
  assert.equal(durationMs('26h'), 93_600_000);
  assert.equal(durationMs('30d'), 2_592_000_000);
  assert.equal(durationMs('5m'), 300_000);
  assert.equal(keepFreeBytes('20%', 1_000), 200);
  assert.equal(keepFreeBytes('50GB', 1), 50_000_000_000);
  for (const wrong of ['', '0h', '1', '1.5h', '26H', '100000d'])
    assert.throws(() => durationMs(wrong), { code: 'bad-config' });
  for (const wrong of ['', '0%', '100%', '5', '-1GB'])
    assert.throws(() => keepFreeBytes(wrong, 1), { code: 'bad-config' });
});

test("the editors' schema beside the source is the one of this version", () => {
  assert.deepEqual(
    JSON.parse(readFileSync('config/cofre.schema.json', 'utf8')),
    JSON.parse(JSON.stringify(configJsonSchema())),
    'run `npm run build`, which writes it',
  );
});
