SELECT setseed(0.2605);

INSERT INTO financeiro.conta (codigo, pai, nome, natureza) VALUES
  ('1', NULL, 'Ativo', 'débito'), ('1.1', '1', 'Circulante', 'débito'), ('1.1.01', '1.1', 'Caixa e equivalentes', 'débito'),
  ('1.1.02', '1.1', 'Duplicatas a receber', 'débito'), ('2', NULL, 'Passivo', 'crédito'), ('2.1', '2', 'Obrigações tributárias', 'crédito'),
  ('3', NULL, 'Receitas', 'crédito'), ('3.1', '3', 'Vendas de mercadorias', 'crédito'), ('4', NULL, 'Despesas', 'débito');

INSERT INTO financeiro.titulo (pessoa_id, nota_id, natureza, parcela, emissao, vencimento, valor, codigo_barras)
SELECT p.cliente_id, n.id, 'crédito', parcela, n.pedido_data, n.pedido_data + 30 * parcela, round(n.valor / 2, 2),
  lpad((n.numero * 9973::bigint + parcela)::text, 44, '23793')
FROM (SELECT * FROM fiscal.nota_fiscal WHERE numero % 2 = 0 ORDER BY numero) n JOIN vendas.pedido p ON (p.numero, p.emitido_em) = (n.pedido_numero, n.pedido_data),
  generate_series(1, 2) parcela
ORDER BY n.numero, parcela;

INSERT INTO financeiro.baixa (titulo_id, pago_em, valor, forma)
SELECT id, vencimento::timestamp AT TIME ZONE 'America/Sao_Paulo' + random() * interval '9 hours', valor, pg_temp.um(ARRAY['PIX', 'boleto', 'cartão de crédito', 'dinheiro'])
FROM (SELECT * FROM financeiro.titulo WHERE id % 5 > 0 ORDER BY id) pago;

-- Two entries of every document, whose sum is nothing.
INSERT INTO financeiro.lancamento (documento, data, conta, valor, historico)
SELECT d, '2025-07-01'::date + (d * 365::bigint / pg_temp.parte(0.06))::integer, CASE WHEN lado > 0 THEN '1.1.02' ELSE '3.1' END,
  lado * (d % 90000 + 0.37), 'Venda a prazo conf. NF ' || d || ' – ' || CASE WHEN lado > 0 THEN 'débito' ELSE 'crédito' END
FROM generate_series(1, pg_temp.parte(0.06)) d, unnest(ARRAY[1, -1]) lado;

INSERT INTO financeiro.periodo (id, dias, fechado)
SELECT m, daterange((date '2025-07-01' + make_interval(months => m))::date, (date '2025-08-01' + make_interval(months => m))::date), m < 11 FROM generate_series(0, 11) m;

INSERT INTO auditoria.registro (quando, quem, tabela, operacao, antes, depois)
SELECT timestamptz '2025-07-01 00:00-03' + i * (interval '366 days' / pg_temp.parte(0.1)), 'Usuário.' || lpad((1 + i % 60)::text, 2, '0'),
  pg_temp.um(ARRAY['cadastro.pessoa', 'vendas.pedido', 'estoque.produto', '"Relatórios Gerenciais"."Metas por Vendedor"']), (ARRAY['I', 'U', 'U', 'D'])[1 + i % 4],
  CASE WHEN i % 4 > 0 THEN jsonb_build_object('id', i, 'situação', 'antes', 'valor', i * 1.10, 'histórico', jsonb_build_array(i, NULL, 'ção')) END,
  CASE WHEN i % 4 < 3 THEN jsonb_build_object('id', i, 'situação', 'depois', 'valor', i * 1.21, 'observação', md5(i::text)) END
FROM generate_series(1, pg_temp.parte(0.1)) i;

INSERT INTO auditoria.acesso (login, endereco, iniciou, durou)
SELECT 'Usuário.' || lpad((1 + i % 60)::text, 2, '0'), CASE WHEN i % 10 = 0 THEN inet '2001:db8::' + i ELSE inet '10.1.0.0' + i END,
  timestamptz '2026-06-01 07:00-03' + i * interval '3 minutes', CASE WHEN i % 6 > 0 THEN make_interval(days => i % 2, secs => i % 7200 + 0.5) END
FROM generate_series(1, pg_temp.parte(0.02)) i;

INSERT INTO auditoria.carga_legada
SELECT 'CLIENTES.DBF', pg_temp.um(pg_temp.observacoes()) FROM generate_series(1, pg_temp.parte(0.001));

-- A column of later: its default is kept beside the table for rows that were there before.
ALTER TABLE financeiro.titulo ADD COLUMN protestado boolean NOT NULL DEFAULT false;
