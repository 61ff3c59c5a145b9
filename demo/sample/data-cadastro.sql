SELECT setseed(0.2601);

INSERT INTO cadastro.uf (sigla, nome, codigo_ibge) VALUES
  ('AC', 'Acre', 12), ('AL', 'Alagoas', 27), ('AM', 'Amazonas', 13), ('AP', 'Amapá', 16), ('BA', 'Bahia', 29),
  ('CE', 'Ceará', 23), ('DF', 'Distrito Federal', 53), ('ES', 'Espírito Santo', 32), ('GO', 'Goiás', 52),
  ('MA', 'Maranhão', 21), ('MG', 'Minas Gerais', 31), ('MS', 'Mato Grosso do Sul', 50), ('MT', 'Mato Grosso', 51),
  ('PA', 'Pará', 15), ('PB', 'Paraíba', 25), ('PE', 'Pernambuco', 26), ('PI', 'Piauí', 22), ('PR', 'Paraná', 41),
  ('RJ', 'Rio de Janeiro', 33), ('RN', 'Rio Grande do Norte', 24), ('RO', 'Rondônia', 11), ('RR', 'Roraima', 14),
  ('RS', 'Rio Grande do Sul', 43), ('SC', 'Santa Catarina', 42), ('SE', 'Sergipe', 28), ('SP', 'São Paulo', 35),
  ('TO', 'Tocantins', 17);

INSERT INTO cadastro.municipio (nome, uf, localizacao, fundado_em) VALUES
  ('Rio Branco', 'AC', '(-67.81,-9.97)', '1882-12-28'), ('Maceió', 'AL', '(-35.73,-9.66)', '1815-12-05'),
  ('Manaus', 'AM', '(-60.02,-3.10)', '1669-10-24'), ('Macapá', 'AP', '(-51.07,0.03)', '1758-02-04'),
  ('Salvador', 'BA', '(-38.51,-12.97)', '1549-03-29'), ('Fortaleza', 'CE', '(-38.54,-3.72)', '1726-04-13'),
  ('Brasília', 'DF', '(-47.93,-15.78)', '1960-04-21'), ('Vitória', 'ES', '(-40.34,-20.32)', '1551-09-08'),
  ('Goiânia', 'GO', '(-49.25,-16.68)', '1933-10-24'), ('São Luís', 'MA', '(-44.30,-2.53)', '1612-09-08'),
  ('Belo Horizonte', 'MG', '(-43.94,-19.92)', '1897-12-12'), ('Campo Grande', 'MS', '(-54.65,-20.44)', '1872-06-21'),
  ('Cuiabá', 'MT', '(-56.10,-15.60)', '1719-04-08'), ('Belém', 'PA', '(-48.50,-1.46)', '1616-01-12'),
  ('João Pessoa', 'PB', '(-34.86,-7.12)', '1585-08-05'), ('Recife', 'PE', '(-34.88,-8.05)', '1537-03-12'),
  ('Teresina', 'PI', '(-42.80,-5.09)', '1852-08-16'), ('Curitiba', 'PR', '(-49.27,-25.43)', '1693-03-29'),
  ('Rio de Janeiro', 'RJ', '(-43.17,-22.91)', '1565-03-01'), ('Natal', 'RN', '(-35.21,-5.79)', '1599-12-25'),
  ('Porto Velho', 'RO', '(-63.90,-8.76)', '1914-10-02'), ('Boa Vista', 'RR', '(-60.68,2.82)', '1890-07-09'),
  ('Porto Alegre', 'RS', '(-51.23,-30.03)', '1772-03-26'), ('Florianópolis', 'SC', '(-48.55,-27.59)', '1673-03-23'),
  ('Aracaju', 'SE', '(-37.07,-10.91)', '1855-03-17'), ('São Paulo', 'SP', '(-46.63,-23.55)', '1554-01-25'),
  ('Palmas', 'TO', '(-48.33,-10.18)', '1989-05-20');

INSERT INTO cadastro.feriado (dia, nome, nacional) VALUES
  ('2026-01-01', 'Confraternização Universal', true), ('2026-02-17', 'Carnaval', false), ('2026-04-03', 'Paixão de Cristo', true),
  ('2026-04-21', 'Tiradentes', true), ('2026-05-01', 'Dia do Trabalho', true), ('2026-06-04', 'Corpus Christi', false),
  ('2026-09-07', 'Independência do Brasil', true), ('2026-11-20', 'Consciência Negra', true), ('infinity', 'Dia de São Nunca', false),
  ('0044-03-15 BC', 'Idos de Março', false);

INSERT INTO cadastro.categoria (pai_id, nome) VALUES
  (NULL, 'Alimentação'), (NULL, 'Construção'), (NULL, 'Escritório'), (1, 'Pães e Bolos'), (1, 'Laticínios'), (2, 'Ferragens'),
  (2, 'Hidráulica'), (3, 'Papelaria'), (4, 'Pão de Queijo'), (6, 'Parafusos'), (10, 'Parafusos de Aço Inoxidável'), (8, 'Cadernos');

INSERT INTO cadastro.pessoa (tipo, nome, cpf, cnpj, email, codigo_externo, endereco, telefones, etiquetas, preferencias,
  atributos, nascimento, limite_credito, observacao, criado_em)
SELECT
  CASE WHEN fisica THEN 'física'::cadastro.tipo_pessoa ELSE 'jurídica' END,
  CASE WHEN fisica THEN prenome || ' ' || sobrenome || ' ' || segundo ELSE sobrenome || ' & ' || segundo || ' ' || ramo || ' Ltda.' END,
  CASE WHEN fisica THEN cadastro.cpf_completo(lpad((i * 104729::bigint % 999999937)::text, 9, '0')) END,
  CASE WHEN NOT fisica THEN cadastro.cnpj_completo(lpad((i * 7919::bigint % 99999989)::text, 8, '0') || '0001') END,
  CASE WHEN sorte < 0.9 THEN
    CASE WHEN sorte < 0.2 THEN upper(translate(cadastro.sem_acento(sobrenome), ' ’', '._')) ELSE translate(cadastro.sem_acento(prenome || '.' || sobrenome), ' ’', '._') END
    || i || '@exemplo.example' END,
  public.uuid_generate_v5(public.uuid_ns_url(), 'pessoa:' || i),
  pg_temp.endereco(),
  CASE WHEN sorte < 0.6 THEN ARRAY[ROW(11 + i % 80, '9' || lpad((i * 7368787::bigint % 100000000)::text, 8, '0'), 'celular')::cadastro.telefone]
    WHEN sorte < 0.8 THEN ARRAY[ROW(11, '33445566', 'comercial')::cadastro.telefone, ROW(21, '99887-7665', NULL)::cadastro.telefone]
    ELSE '{}' END,
  CASE WHEN sorte < 0.3 THEN ARRAY['vip', 'região ' || i % 9] WHEN sorte < 0.5 THEN ARRAY['"entre aspas"', NULL, 'a,b'] ELSE '{}' END,
  jsonb_build_object('contato', pg_temp.um(ARRAY['e-mail', 'telefone', 'não incomodar']), 'newsletter', sorte < 0.4, 'desconto', i % 15, 'canal',
    jsonb_build_array('loja', 'site')),
  CASE WHEN sorte > 0.5 THEN public.hstore(ARRAY['tamanho', 'camisa', 'cor'], ARRAY[(36 + i % 10)::text, NULL, 'açaí']) END,
  CASE WHEN fisica THEN date '1940-01-01' + pg_temp.sorteio(25000) END,
  round((random() * 50000)::numeric, 2),
  CASE WHEN i % 7 = 0 THEN pg_temp.um(pg_temp.observacoes()) END,
  timestamptz '2019-03-01 08:00-03' + i * interval '37 minutes 11.123456 seconds'
FROM (SELECT i, random() < 0.7 AS fisica, random() AS sorte, pg_temp.um(pg_temp.prenomes()) AS prenome,
    pg_temp.um(pg_temp.sobrenomes()) AS sobrenome, pg_temp.um(pg_temp.sobrenomes()) AS segundo, pg_temp.um(pg_temp.ramos()) AS ramo
  FROM generate_series(1, pg_temp.parte(0.05)) i) sorteada;

INSERT INTO cadastro.filial (id, nome, cnpj, endereco, gerente_id, aberta_em, horario, rede_interna)
SELECT i, 'Filial ' || m.nome, cadastro.cnpj_completo('12345678' || lpad(i::text, 4, '0')),
  ROW('Avenida do Café', (i * 100)::text, NULL, 'Centro', m.nome, m.uf, '01310100')::cadastro.endereco, i * 10, date '2001-05-01' + i * 400,
  ARRAY[time '08:00', time '18:30'], ('10.' || i || '.0.0/16')::cidr
FROM generate_series(1, 6) i JOIN cadastro.municipio m ON m.id = 27 - i * 3;

INSERT INTO cadastro.funcionario (nome, cpf, filial_id, chefe_id, admitido_em, salario, jornada, ferias)
SELECT pg_temp.um(pg_temp.prenomes()) || ' ' || pg_temp.um(pg_temp.sobrenomes()), cadastro.cpf_completo(lpad((31415926 + i * 271828)::text, 9, '0')),
  1 + (i - 1) / 10, CASE WHEN i % 10 > 0 THEN i - i % 10 + 10 END, date '2015-01-05' + i * 40, 1800 + i * 97.35,
  interval '8 hours 48 minutes', CASE WHEN i % 4 = 0 THEN daterange('2026-07-01', '2026-07-31', '[]') WHEN i % 4 = 1 THEN 'empty'::daterange END
FROM generate_series(1, 60) i;

INSERT INTO cadastro.usuario (login, funcionario_id, senha_hash, permissoes, ultimo_acesso, "user")
SELECT 'Usuário.' || lpad(i::text, 2, '0'), i, extensoes.hmac('senha ' || i, 'tempero', 'sha256'), (i * 37)::bit(16),
  CASE WHEN i % 5 > 0 THEN timestamptz '2026-06-30 07:55-03' - i * interval '1 hour 1 second' END, 'erp_' || i
FROM generate_series(1, 60) i;

INSERT INTO cadastro.contato (pessoa_id, nome, email)
SELECT 1000 + i * 3 % pg_temp.parte(0.05), pg_temp.um(pg_temp.prenomes()), 'contato' || i || '@Exemplo.Example'
FROM generate_series(1, pg_temp.parte(0.005)) i;
INSERT INTO cadastro.contato_fiscal (pessoa_id, nome, inscricao_estadual)
SELECT 1000 + i * 5 % pg_temp.parte(0.05), pg_temp.um(pg_temp.prenomes()) || ' (fiscal)', lpad((i * 7654321::bigint)::text, 12, '0')
FROM generate_series(1, pg_temp.parte(0.003)) i;

-- Three large objects of some megabytes, some dozens of small ones, one of them empty. Their numbers are given, so that
-- the same seed makes the same database.
INSERT INTO cadastro.documento (pessoa_id, nome_arquivo, tipo_mime, conteudo, enviado_em)
SELECT 1000 + i % 12, CASE WHEN i % 2 = 0 THEN 'contrato nº ' || i || ' – versão “final”.pdf' ELSE 'relatório_' || i || '.csv' END,
  CASE WHEN i % 2 = 0 THEN 'application/pdf' ELSE 'text/csv' END,
  lo_from_bytea(900000 + i, CASE
    WHEN i = 1 THEN ''::bytea
    WHEN i > 33 THEN pg_temp.bytes('grande ' || i, least(3000000, greatest(300000, 8 * current_setting('amostra.linhas')::integer)))
    WHEN i % 2 = 0 THEN pg_temp.bytes('pequeno ' || i, 1500 * i)
    ELSE convert_to(repeat('Código;Descrição;Preço' || chr(10) || i || ';Pão de açúcar;3,50' || chr(10), i * 40), 'UTF8') END),
  timestamp '2026-02-01 10:00' + i * interval '1 day'
FROM generate_series(1, 36) i;
