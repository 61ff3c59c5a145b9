-- What the data are drawn from. Every person, company and address is invented; only states, cities and holidays are real.
-- The session's setting amostra.linhas says about how many rows all tables have together.

CREATE FUNCTION pg_temp.parte(peso numeric) RETURNS integer LANGUAGE sql STABLE AS $$
  SELECT greatest(12, (current_setting('amostra.linhas')::numeric * peso)::integer)
$$;
CREATE FUNCTION pg_temp.sorteio(n integer) RETURNS integer LANGUAGE sql VOLATILE AS $$
  SELECT floor(random() * n)::integer
$$;
CREATE FUNCTION pg_temp.um(lista text[]) RETURNS text LANGUAGE sql VOLATILE AS $$
  SELECT lista[1 + floor(random() * cardinality(lista))::integer]
$$;
-- The same bytes for the same seed; random enough that nothing can compress them.
CREATE FUNCTION pg_temp.bytes(semente text, tamanho integer) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
  SELECT substring(string_agg(sha256(convert_to(semente || ':' || k, 'UTF8')), ''::bytea ORDER BY k) FROM 1 FOR tamanho)
    FROM generate_series(0, tamanho / 32) k
$$;

CREATE FUNCTION pg_temp.prenomes() RETURNS text[] LANGUAGE sql IMMUTABLE AS $$ SELECT ARRAY[
  'Adão', 'Álvaro', 'Ana Lúcia', 'André', 'Antônia', 'Antônio', 'Aparecida', 'Araci', 'Benício', 'Bento',
  'Caetano', 'Cauã', 'Cecília', 'César', 'Cícero', 'Cláudia', 'Conceição', 'Débora', 'Eça', 'Élcio', 'Emília', 'Estêvão',
  'Fábio', 'Fátima', 'Flávia', 'Gláucia', 'Glória', 'Heloísa', 'Iná', 'Inês', 'Íris', 'João', 'José', 'Júlia', 'Jurandir',
  'Lívia', 'Lúcia', 'Luís', 'Mônica', 'Natália', 'Otávio', 'Patrícia', 'Quitéria', 'Raí', 'Róbson', 'Rômulo', 'Sebastião',
  'Sônia', 'Tarcísio', 'Tomás', 'Ubirajara', 'Úrsula', 'Valéria', 'Vinícius', 'Yara', 'Zélia', 'Zuleica'] $$;
CREATE FUNCTION pg_temp.sobrenomes() RETURNS text[] LANGUAGE sql IMMUTABLE AS $$ SELECT ARRAY[
  'Abrantes', 'Assunção', 'Barão', 'Brandão', 'Câmara', 'Conceição', 'Corrêa', 'D’Ávila', 'Damião', 'Espírito Santo', 'Falcão',
  'França', 'Galvão', 'Gonçalves', 'Guimarães', 'Jordão', 'Leitão', 'Magalhães', 'Mendonça', 'Negrão', 'Nóbrega', 'Paixão',
  'Peçanha', 'Queirós', 'Ramalhão', 'Rincão', 'Sá', 'Simões', 'Teó', 'Trindade', 'Urtigão', 'Valadão', 'Vilaça', 'Ximenes'] $$;
CREATE FUNCTION pg_temp.ruas() RETURNS text[] LANGUAGE sql IMMUTABLE AS $$ SELECT ARRAY[
  'Rua das Araucárias', 'Avenida do Café', 'Rua São Bartolomeu do Sertão', 'Travessa da Conceição Velha', 'Alameda dos Ipês',
  'Rua Coronel Tibúrcio Leão', 'Praça da Matriz', 'Rodovia Estadual, km 12', 'Rua João-de-Barro', 'Ladeira do Pilão'] $$;
CREATE FUNCTION pg_temp.bairros() RETURNS text[] LANGUAGE sql IMMUTABLE AS $$ SELECT ARRAY[
  'Centro', 'Jardim das Acácias', 'Vila São João', 'Água Rasa de Cima', 'Chácara Três Irmãos', 'Parque Industrial II'] $$;
CREATE FUNCTION pg_temp.ramos() RETURNS text[] LANGUAGE sql IMMUTABLE AS $$ SELECT ARRAY[
  'Comércio de Ferragens', 'Panificação', 'Distribuidora de Bebidas', 'Confecções', 'Construções e Reformas', 'Farmácia',
  'Auto Peças', 'Informática & Automação', 'Móveis Planejados', 'Transportes Rodoviários', 'Laticínios', 'Grãos e Rações'] $$;
CREATE FUNCTION pg_temp.ufs() RETURNS text[] LANGUAGE sql IMMUTABLE AS $$ SELECT ARRAY[
  'AC', 'AL', 'AM', 'AP', 'BA', 'CE', 'DF', 'ES', 'GO', 'MA', 'MG', 'MS', 'MT', 'PA', 'PB', 'PE', 'PI', 'PR', 'RJ', 'RN',
  'RO', 'RR', 'RS', 'SC', 'SE', 'SP', 'TO'] $$;
-- What breaks a careless dump: every kind of white space, quotes, markers of COPY, emoji, letters of more than two bytes.
CREATE FUNCTION pg_temp.observacoes() RETURNS text[] LANGUAGE sql IMMUTABLE AS $lista$ SELECT ARRAY[
  'Cliente preferencial – “atendimento nota 10” 👏', E'Entregar pela manhã.\nPortão azul, tocar 2×.', E'coluna\tcom\ttabulações',
  '', '   ', E'\\.', E'\\N', 'barra \ invertida', 'aspas ''simples'' e "duplas"', E'linha do Windows\r\n', 'ponto; vírgula, e %s',
  'Ação & reação: ½ dúzia à R$ 3,50 — 25 °C', '日本語 também', 'família 👨‍👩‍👧‍👦 e bandeira 🇧🇷', E'espa\u00e7o\u00a0r\u00edgido',
  'a' || E'\u0303' || ' decomposto', '<xml attr="ção"/>', '$1 $$ ${nada}', 'NULL', '{"json": [1, 2]}'] $lista$;

CREATE FUNCTION pg_temp.endereco() RETURNS cadastro.endereco LANGUAGE sql VOLATILE AS $$
  SELECT ROW(pg_temp.um(pg_temp.ruas()), (1 + pg_temp.sorteio(4000))::text,
    CASE WHEN random() < 0.3 THEN 'apto ' || 11 + pg_temp.sorteio(190) END, pg_temp.um(pg_temp.bairros()),
    m.nome, m.uf, lpad((1000000 + pg_temp.sorteio(98000000))::text, 8, '0'))::cadastro.endereco
  FROM (SELECT 1 + pg_temp.sorteio(27) AS sorteado OFFSET 0) s JOIN cadastro.municipio m ON m.id = s.sorteado
$$;
