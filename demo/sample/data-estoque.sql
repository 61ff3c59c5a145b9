SELECT setseed(0.2602);

INSERT INTO estoque.produto (sku, descricao, detalhes, categoria_id, ncm, unidade, preco, custo, peso_kg, dimensoes_cm, ficha, miniatura)
SELECT 'SKU-' || lpad(i::text, 6, '0'),
  coisa || ' ' || qualidade || ' ' || (ARRAY['P', 'M', 'G', 'nº ' || i % 40])[1 + i % 4],
  CASE WHEN i % 3 > 0 THEN coisa || ' de fabricação própria, ideal para ' || pg_temp.um(ARRAY['o café da manhã', 'construções', 'o escritório', 'presentear mães e avós'])
    || '. Não contém glúten. Validade: ' || 30 + i % 300 || ' dias. ' || repeat(qualidade || ' e durável; ', 1 + i % 5) END,
  1 + i % 12, lpad((i * 54321 % 99999999)::text, 8, '0'), (ARRAY['UN', 'KG', 'CX', 'PÇ', 'M²'])[1 + i % 5],
  custo * 1.35 + 0.01, custo, (0.05 + random() * 20)::real, ARRAY[i % 50 + 1, 10.5, 3.25],
  CASE WHEN i % 2 = 0 THEN jsonb_build_object('cor', pg_temp.um(ARRAY['azul', 'maçã', 'pêssego', 'limão']), 'voltagem', (ARRAY[127, 220])[1 + i % 2],
    'certificações', jsonb_build_array('INMETRO', NULL, i)) END,
  CASE WHEN i % 5 = 0 THEN pg_temp.bytes('miniatura ' || i, 200 + i % 700) END
FROM (SELECT i, pg_temp.um(ARRAY['Pão de queijo', 'Parafuso', 'Caderno', 'Válvula', 'Açúcar', 'Feijão', 'Requeijão', 'Torneira', 'Lápis', 'Maçaneta']) AS coisa,
    pg_temp.um(ARRAY['artesanal', 'inoxidável', 'clássico', 'orgânico', 'econômico', 'prêmio']) AS qualidade, round((1 + random() * 400)::numeric, 2) AS custo
  FROM generate_series(1, pg_temp.parte(0.01)) i) sorteado;

INSERT INTO estoque.deposito (filial_id, nome, planta)
SELECT i, 'Galpão ' || chr(64 + i), polygon(box(point(0, 0), point(i * 10, 25.5))) FROM generate_series(1, 6) i;

INSERT INTO estoque.saldo (deposito_id, produto_id, quantidade, minimo)
SELECT d, p, round((random() * 900)::numeric, 3), CASE WHEN p % 3 = 0 THEN 10 END
FROM generate_series(1, 6) d, generate_series(1, pg_temp.parte(0.01)) p WHERE (p + d) % 2 = 0;

INSERT INTO estoque.preco_vigente (produto_id, vigencia, preco)
SELECT p, daterange('2025-01-01'::date + q * 200, CASE WHEN q < 2 THEN '2025-01-01'::date + (q + 1) * 200 END), 10 + p % 300 + q
FROM generate_series(1, pg_temp.parte(0.004)) p, generate_series(0, 2) q;

INSERT INTO estoque.movimento (data, tipo, deposito_id, produto_id, quantidade, lote)
SELECT '2025-07-01'::date + pg_temp.sorteio(368) - CASE WHEN i % 200 = 0 THEN 900 ELSE 0 END,
  (ARRAY['entrada', 'saída', 'devolução', 'ajuste'])[1 + i % 4]::estoque.tipo_movimento, 1 + i % 6,
  1 + pg_temp.sorteio(pg_temp.parte(0.01)), round((0.001 + random() * 120)::numeric, 3), CASE WHEN i % 3 = 0 THEN 'LT-' || md5(i::text) END
FROM generate_series(1, pg_temp.parte(0.12)) i;

INSERT INTO estoque.leitura_balanca (lida_em, balanca, peso, temperatura)
SELECT timestamptz '2026-06-01 06:00-03' + i * interval '1 second 1 microsecond', '08:00:2b:01:02:03',
  CASE i % 500 WHEN 1 THEN 'NaN' WHEN 2 THEN 'Infinity' WHEN 3 THEN '-Infinity' WHEN 4 THEN '-0' WHEN 5 THEN 1e-307 WHEN 6 THEN 0.1::float8 + 0.2 ELSE random() * 80 END,
  (18 + random() * 10)::real
FROM generate_series(1, pg_temp.parte(0.02)) i;
