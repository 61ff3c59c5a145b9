-- Keys between tables, indexes, statistics: after the data, because that is faster.

ALTER TABLE cadastro.municipio ADD FOREIGN KEY (uf) REFERENCES cadastro.uf ON UPDATE CASCADE;
ALTER TABLE cadastro.municipio ADD CONSTRAINT municipio_unico UNIQUE (nome, uf);
ALTER TABLE cadastro.filial ADD CONSTRAINT filial_gerente FOREIGN KEY (gerente_id) REFERENCES cadastro.funcionario DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE cadastro.funcionario ADD CONSTRAINT funcionario_filial FOREIGN KEY (filial_id) REFERENCES cadastro.filial DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE cadastro.funcionario ADD CONSTRAINT funcionario_chefe FOREIGN KEY (chefe_id) REFERENCES cadastro.funcionario ON DELETE SET NULL;
ALTER TABLE cadastro.usuario ADD FOREIGN KEY (funcionario_id) REFERENCES cadastro.funcionario ON DELETE CASCADE;
ALTER TABLE cadastro.categoria ADD FOREIGN KEY (pai_id) REFERENCES cadastro.categoria;
ALTER TABLE ONLY cadastro.contato ADD FOREIGN KEY (pessoa_id) REFERENCES cadastro.pessoa;
ALTER TABLE cadastro.documento ADD FOREIGN KEY (pessoa_id) REFERENCES cadastro.pessoa;

ALTER TABLE estoque.produto ADD FOREIGN KEY (categoria_id) REFERENCES cadastro.categoria;
ALTER TABLE estoque.deposito ADD FOREIGN KEY (filial_id) REFERENCES cadastro.filial;
ALTER TABLE estoque.saldo ADD FOREIGN KEY (deposito_id) REFERENCES estoque.deposito, ADD FOREIGN KEY (produto_id) REFERENCES estoque.produto;
ALTER TABLE estoque.preco_vigente ADD FOREIGN KEY (produto_id) REFERENCES estoque.produto;
ALTER TABLE estoque.movimento ADD FOREIGN KEY (deposito_id) REFERENCES estoque.deposito, ADD FOREIGN KEY (produto_id) REFERENCES estoque.produto;

ALTER TABLE vendas.pedido ADD FOREIGN KEY (filial_id) REFERENCES cadastro.filial, ADD FOREIGN KEY (cliente_id) REFERENCES cadastro.pessoa,
  ADD FOREIGN KEY (vendedor_id) REFERENCES cadastro.funcionario;
ALTER TABLE vendas.item_pedido ADD CONSTRAINT item_do_pedido FOREIGN KEY (pedido_numero, pedido_data) REFERENCES vendas.pedido (numero, emitido_em) ON DELETE CASCADE,
  ADD FOREIGN KEY (produto_id) REFERENCES estoque.produto;
ALTER TABLE fiscal.nota_fiscal ADD FOREIGN KEY (filial_id) REFERENCES cadastro.filial,
  ADD FOREIGN KEY (pedido_numero, pedido_data) REFERENCES vendas.pedido (numero, emitido_em) MATCH FULL;
ALTER TABLE fiscal.nota_fiscal ADD CONSTRAINT chave_unica UNIQUE (chave) INCLUDE (numero);
ALTER TABLE fiscal.aliquota ADD FOREIGN KEY (origem) REFERENCES cadastro.uf, ADD FOREIGN KEY (destino) REFERENCES cadastro.uf;
ALTER TABLE fiscal.certificado ADD FOREIGN KEY (filial_id) REFERENCES cadastro.filial;
ALTER TABLE financeiro.conta ADD FOREIGN KEY (pai) REFERENCES financeiro.conta;
ALTER TABLE financeiro.titulo ADD FOREIGN KEY (pessoa_id) REFERENCES cadastro.pessoa, ADD FOREIGN KEY (nota_id) REFERENCES fiscal.nota_fiscal;
ALTER TABLE financeiro.baixa ADD FOREIGN KEY (titulo_id) REFERENCES financeiro.titulo;
ALTER TABLE financeiro.lancamento ADD FOREIGN KEY (conta) REFERENCES financeiro.conta ON UPDATE CASCADE;
ALTER TABLE "Relatórios Gerenciais"."Metas por Vendedor" ADD CONSTRAINT "Vendedor existe" FOREIGN KEY ("Vendedor") REFERENCES cadastro.funcionario;

-- A rule that old rows break: it holds for new ones only, and a restore must not try it on the old.
ALTER TABLE estoque.movimento ADD CONSTRAINT depois_de_2025 CHECK (data >= '2025-01-01') NOT VALID;

CREATE INDEX pessoa_nome ON cadastro.pessoa (nome);
CREATE INDEX pessoa_nome_parecido ON cadastro.pessoa USING gin (nome_busca extensoes.gin_trgm_ops);
CREATE UNIQUE INDEX pessoa_email ON cadastro.pessoa (email) WHERE email IS NOT NULL;
CREATE UNIQUE INDEX pessoa_cpf ON cadastro.pessoa (cpf) INCLUDE (nome) WHERE cpf IS NOT NULL;
CREATE INDEX pessoa_cidade ON cadastro.pessoa (((endereco).municipio), ((endereco).uf));
CREATE INDEX pessoa_preferencias ON cadastro.pessoa USING gin (preferencias jsonb_path_ops);
CREATE INDEX pessoa_atributos ON cadastro.pessoa USING gist (atributos);
CREATE INDEX pessoa_criacao ON cadastro.pessoa USING brin (criado_em) WITH (pages_per_range = 32);
CREATE INDEX municipio_local ON cadastro.municipio USING gist (localizacao);
CREATE INDEX categoria_nome ON cadastro.categoria USING hash (nome);
CREATE INDEX produto_busca ON estoque.produto USING gin (busca);
CREATE INDEX produto_descricao_simples ON estoque.produto (cadastro.sem_acento(descricao) text_pattern_ops, preco DESC NULLS LAST);
CREATE INDEX movimento_produto ON estoque.movimento (produto_id, data DESC);
CREATE INDEX pedido_cliente ON vendas.pedido (cliente_id) INCLUDE (total);
CREATE INDEX pedido_em_aberto ON vendas.pedido (vendedor_id) WHERE situacao IN ('aberto', 'em separação');
CREATE INDEX item_produto ON vendas.item_pedido (produto_id);
CREATE INDEX nota_dia ON fiscal.nota_fiscal (((emitida_em AT TIME ZONE 'America/Sao_Paulo')::date));
CREATE INDEX titulo_vencimento ON financeiro.titulo (vencimento, pessoa_id) WHERE NOT protestado;
CREATE INDEX lancamento_conta ON financeiro.lancamento (conta, data);
CREATE INDEX registro_tabela ON auditoria.registro (tabela, quando);
CREATE INDEX "Índice de nome muito comprido, com acentuação e espaços" ON "Relatórios Gerenciais"."Metas por Vendedor" ("Mês/Ano");
ALTER TABLE financeiro.lancamento CLUSTER ON lancamento_conta;
ALTER INDEX cadastro.pessoa_cidade ALTER COLUMN 1 SET STATISTICS 300;
ALTER TABLE estoque.leitura_balanca REPLICA IDENTITY FULL;

CREATE STATISTICS cadastro.pessoa_tipo_limite (dependencies, ndistinct) ON tipo, limite_credito FROM cadastro.pessoa;
CREATE STATISTICS estoque.produto_unidade_categoria (mcv) ON unidade, categoria_id FROM estoque.produto;
