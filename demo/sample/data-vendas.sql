SELECT setseed(0.2603);

INSERT INTO vendas.pedido (emitido_em, filial_id, cliente_id, vendedor_id, situacao, entrega, desconto, observacao, criado_em)
SELECT '2025-07-01'::date + dia, 1 + i % 6, 1000 + pg_temp.sorteio(pg_temp.parte(0.05)), 1 + i % 60,
  CASE WHEN i % 17 = 0 THEN 'cancelado' WHEN dia < 350 THEN 'faturado' ELSE (ARRAY['orçamento', 'aberto', 'em separação'])[1 + i % 3] END::vendas.situacao_pedido,
  CASE WHEN i % 4 = 0 THEN pg_temp.endereco() END, i % 9, CASE WHEN i % 11 = 0 THEN pg_temp.um(pg_temp.observacoes()) END,
  timestamptz '2025-07-01 08:00-03' + dia * interval '1 day' + random() * interval '10 hours'
FROM (SELECT i, (i * 365::bigint / pg_temp.parte(0.11))::integer AS dia FROM generate_series(1, pg_temp.parte(0.11)) i) sorteado;

INSERT INTO vendas.item_pedido (pedido_numero, pedido_data, "order", produto_id, quantidade, preco_unitario)
SELECT numero, emitido_em, n, 1 + pg_temp.sorteio(pg_temp.parte(0.01)), 1 + pg_temp.sorteio(20), round((5 + random() * 500)::numeric, 2)
FROM vendas.pedido, generate_series(1, 1 + (numero % 4)::integer) n;

UPDATE vendas.pedido p SET total = round(i.soma * (100 - p.desconto) / 100, 2)
FROM (SELECT pedido_numero, pedido_data, sum(valor) AS soma FROM vendas.item_pedido GROUP BY 1, 2) i
WHERE (p.numero, p.emitido_em) = (i.pedido_numero, i.pedido_data);

INSERT INTO vendas.campanha (codigo, titulo, periodo, faixa, idades, posicao, regras) VALUES
  ('NATAL25', 'Natal em família 🎄', '[2025-12-01 00:00-03,2025-12-26 00:00-03)', '[100,)', NULL, 1, '{"frete": "grátis"}'),
  ('VERAO26', 'Verão – “liquidação”', '[2026-01-05 00:00-03,2026-02-01 00:00-03)', '[50.00,999.99]', '[18,)', 2, '{"máximo": 3}'),
  ('MAES26', 'Dia das Mães', '[2026-05-01 00:00-03,2026-05-11 00:00-03)', '(0,500)', '[16,99)', 3, '[]');

INSERT INTO vendas.carrinho (sessao, cliente_id, itens, expira_em)
SELECT public.uuid_generate_v5(public.uuid_ns_dns(), 'carrinho ' || i), CASE WHEN i % 3 > 0 THEN 1000 + i % 12 END,
  jsonb_build_array(jsonb_build_object('produto', i % 12 + 1, 'quantidade', 1.50)), timestamptz '2026-07-02 00:00-03' + i * interval '1 minute'
FROM generate_series(1, pg_temp.parte(0.002)) i;

INSERT INTO "Relatórios Gerenciais"."Metas por Vendedor"
SELECT v, '2026-01-01'::date + make_interval(months => m), 20000 + v * 100 + m, pg_temp.um(pg_temp.observacoes())
FROM generate_series(1, 60) v, generate_series(0, 5) m;

INSERT INTO "Relatórios Gerenciais"."Exportação 100% (v1.0)" ("Conteúdo", "Opções")
SELECT o, format('{ "ordem" :  %s, "ordem" : 0 }', n)::json FROM unnest(pg_temp.observacoes()) WITH ORDINALITY AS u (o, n);
