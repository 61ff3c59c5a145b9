-- Orders and their items, campaigns, carts.

CREATE TABLE vendas.pedido (
  numero bigint NOT NULL,
  emitido_em date NOT NULL,
  filial_id smallint NOT NULL,
  cliente_id integer NOT NULL,
  vendedor_id integer NOT NULL,
  situacao vendas.situacao_pedido NOT NULL DEFAULT 'orçamento',
  entrega cadastro.endereco,
  desconto numeric(5,2) NOT NULL DEFAULT 0,
  total financeiro.dinheiro,
  observacao text,
  criado_em timestamp with time zone NOT NULL DEFAULT now(),
  PRIMARY KEY (numero, emitido_em),
  CONSTRAINT desconto_percentual CHECK (desconto BETWEEN 0 AND 100)
) PARTITION BY RANGE (emitido_em);
CALL auditoria.particionar_por_mes('vendas.pedido', '2025-07-01', 12);
CREATE SEQUENCE vendas.pedido_numero AS bigint START WITH 700001 CACHE 10;
ALTER TABLE vendas.pedido ALTER COLUMN numero SET DEFAULT nextval('vendas.pedido_numero');
ALTER SEQUENCE vendas.pedido_numero OWNED BY vendas.pedido.numero;

CREATE TABLE vendas.item_pedido (
  pedido_numero bigint NOT NULL,
  pedido_data date NOT NULL,
  "order" smallint NOT NULL,
  produto_id integer NOT NULL,
  quantidade numeric(10,3) NOT NULL,
  preco_unitario financeiro.dinheiro,
  valor numeric GENERATED ALWAYS AS (round(quantidade * preco_unitario, 2)) STORED,
  PRIMARY KEY (pedido_numero, pedido_data, "order"),
  CONSTRAINT quantidade_positiva CHECK (quantidade > 0)
);

CREATE TABLE vendas.campanha (
  codigo text PRIMARY KEY,
  titulo text NOT NULL,
  periodo tstzrange NOT NULL,
  faixa financeiro.faixa_valor NOT NULL,
  idades int4range,
  posicao integer NOT NULL,
  regras jsonb NOT NULL,
  CONSTRAINT posicao_unica UNIQUE (posicao) DEFERRABLE INITIALLY DEFERRED,
  CONSTRAINT uma_por_vez EXCLUDE USING gist (periodo WITH &&)
);

-- Carts may be lost in a crash of the server, not in a backup.
CREATE UNLOGGED TABLE vendas.carrinho (
  sessao uuid PRIMARY KEY,
  cliente_id integer,
  itens jsonb NOT NULL,
  expira_em timestamp with time zone NOT NULL
);
